//! 256 plain English words, one for each byte: what two people read to each other on the telephone.
//!
//! Their order is part of what they say and never changes.

/// The words, in alphabetical order; none is the beginning of another.
pub(super) const WORDS: [&str; 256] = [
    "acid", "acorn", "actor", "album", "alley", "amber", "anchor", "apple", "april", "apron",
    "arrow", "aspen", "atlas", "attic", "autumn", "axle", "bacon", "badge", "bagel", "baker",
    "bamboo", "banana", "banjo", "barn", "basil", "basket", "beach", "beacon", "beaver", "beetle",
    "bell", "bench", "berry", "bishop", "bison", "blanket", "bonnet", "border", "bottle",
    "boulder", "branch", "bread", "bridge", "bronze", "broom", "bucket", "buffalo", "bugle",
    "butter", "button", "cabin", "cactus", "camel", "candle", "canoe", "canyon", "captain",
    "carbon", "carrot", "castle", "cedar", "cello", "chalk", "chapel", "cherry", "chimney",
    "cider", "cinema", "circus", "clover", "cobalt", "coffee", "comet", "compass", "copper",
    "coral", "cotton", "coyote", "cradle", "crane", "crater", "crayon", "cricket", "crown",
    "crystal", "cube", "curtain", "dagger", "daisy", "dance", "desert", "diamond", "dinner",
    "doctor", "dolphin", "donkey", "dragon", "drum", "eagle", "easel", "echo", "elbow", "elder",
    "emerald", "empire", "engine", "envelope", "evening", "fabric", "falcon", "feather", "fennel",
    "fern", "ferry", "fiddle", "finger", "flame", "flute", "forest", "fossil", "fountain", "fox",
    "galaxy", "garden", "garlic", "gazelle", "ginger", "glacier", "glove", "goblet", "goose",
    "granite", "grape", "gravel", "guitar", "hammer", "harbor", "harvest", "hazel", "hedge",
    "helmet", "heron", "hockey", "honey", "hornet", "husky", "igloo", "indigo", "iron", "island",
    "ivory", "jacket", "jaguar", "jasmine", "jelly", "jigsaw", "jungle", "kayak", "kernel",
    "kettle", "kitten", "ladder", "lagoon", "lantern", "laurel", "lemon", "leopard", "lily",
    "linen", "lizard", "lobster", "locket", "lumber", "magnet", "mango", "maple", "marble",
    "meadow", "melon", "meteor", "mirror", "monday", "monkey", "mosaic", "muffin", "museum",
    "mustard", "napkin", "nectar", "needle", "nickel", "novel", "nutmeg", "oasis", "ocean",
    "olive", "onion", "opera", "orbit", "orchid", "otter", "oyster", "paddle", "palace", "panther",
    "paper", "parrot", "pebble", "pelican", "pencil", "pepper", "piano", "pigeon", "pillow",
    "pirate", "planet", "plum", "pocket", "polar", "poppy", "potato", "prism", "puzzle", "quartz",
    "quilt", "rabbit", "radar", "radish", "raven", "ribbon", "river", "robin", "rocket", "saddle",
    "saffron", "salmon", "sandal", "satin", "scarf", "scissor", "shadow", "shovel", "silver",
    "spider", "spiral", "summer", "sunset", "tango", "temple", "thunder", "tiger", "tomato",
    "tulip", "turtle", "umbrella", "velvet",
];
