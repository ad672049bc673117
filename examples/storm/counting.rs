//! Counting: the things that are counted, with the words for them, and how often each happened.

/// Names the things that are counted, each with its words.
macro_rules! counts {
    ($($name:ident $words:literal)*) => {
        /// A thing that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $words] $name),* }
        /// Every kind, with the words for it.
        pub const KINDS: &[(Kind, &str)] = &[$((Kind::$name, $words)),*];

        /// How often each thing happened.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Each(Vec<u64>);

        impl Default for Each {
            fn default() -> Each {
                Each(vec![0; KINDS.len()])
            }
        }

        impl Each {
            /// Counts one.
            pub fn add(&mut self, kind: Kind) {
                self.add_many(kind, 1);
            }

            /// Counts several.
            pub fn add_many(&mut self, kind: Kind, many: usize) {
                self.0[kind as usize] += many as u64;
            }

            /// Returns how often.
            pub fn of(&self, kind: Kind) -> u64 {
                self.0[kind as usize]
            }

            /// Adds another's.
            pub fn join(&mut self, other: &Each) {
                self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
            }
        }
    };
}
