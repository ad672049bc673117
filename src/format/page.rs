//! The page of `display`: one HTML file that needs nothing else, and no script to be read.
//!
//! It decides nothing. Invariant: every word that is not ours is escaped, and the page's own content
//! security policy lets nothing run or load but what is written here.

use sha2::{Digest, Sha256};

use super::mail::base64;
use crate::model::path::is_invisible;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page shows, in words that are ready for people.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The project's title.
    pub title: String,
    /// This site's address.
    pub here: String,
    /// When it was checked.
    pub checked: String,
    /// One sentence that says how things stand.
    pub summary: String,
    /// The sites.
    pub sites: Vec<SiteRow>,
    /// The files, those that differ first.
    pub files: Vec<FileRow>,
    /// Files that are in step and not listed, for there are too many.
    pub more: usize,
    /// What a synchro would do.
    pub operations: Vec<OperationRow>,
    /// What waits for a person.
    pub waits: Vec<String>,
    /// Packages that were refused, and why.
    pub refused: Vec<String>,
    /// What is said of something just done; empty is nothing.
    pub notice: String,
    /// The token for forms; without one there are none.
    pub form: Option<String>,
}

/// One site.
#[derive(Clone, Debug, Default)]
pub struct SiteRow {
    /// Its address.
    pub address: String,
    /// Its folder.
    pub directory: String,
    /// How it stands, and how old its news are.
    pub words: String,
    /// Why it was not reached; empty if it was.
    pub error: String,
    /// What to do about that, and what could not be looked at there, and why.
    pub notes: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct FileRow {
    /// Its name.
    pub path: String,
    /// How it stands.
    pub state: String,
    /// What is here, shortened.
    pub here: String,
    /// How it stands at each site, in their order; empty is unknown there.
    pub sites: Vec<String>,
}

/// One operation.
#[derive(Clone, Debug, Default)]
pub struct OperationRow {
    /// Its number in the plan.
    pub number: usize,
    /// The file.
    pub path: String,
    /// The host.
    pub site: String,
    /// What is done.
    pub words: String,
    /// Why a person has to say so; empty is nothing.
    pub why: String,
    /// Whether it is ticked.
    pub is_ticked: bool,
    /// Whether it can be done at all as it is.
    pub is_conflict: bool,
}

/// Returns the page.
pub fn print(page: &Page) -> Vec<u8> {
    let mut out = Html(String::new());
    out.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"");
    out.raw(&policy(page.form.is_some()));
    out.raw("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.raw("<meta name=\"referrer\" content=\"same-origin\">\n<title>");
    out.text(&page.title);
    out.raw(" – remsync</title>\n<style>");
    out.raw(STYLE);
    out.raw("</style>\n</head>\n<body>\n<header>\n<h1>");
    out.text(&page.title);
    out.raw("</h1>\n<p>");
    out.text(&page.here);
    out.raw(", checked ");
    out.text(&page.checked);
    out.raw("</p>\n<p class=\"summary\">");
    out.text(&page.summary);
    out.raw("</p>\n</header>\n<main>\n");
    if !page.notice.is_empty() {
        out.raw("<p class=\"notice\" role=\"status\">");
        out.text(&page.notice);
        out.raw("</p>\n");
    }
    print_sites(&mut out, page);
    print_operations(&mut out, page);
    print_list(&mut out, "waits", "Waits for you", &page.waits);
    print_list(&mut out, "refused", "Refused packages", &page.refused);
    print_files(&mut out, page);
    out.raw("</main>\n<script>");
    out.raw(SCRIPT);
    out.raw("</script>\n</body>\n</html>\n");
    out.0.into_bytes()
}

/// Returns the policy, for the page itself and for the header of whoever serves it.
pub fn policy(has_forms: bool) -> String {
    let of = |text: &str| format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())));
    let action = if has_forms { "'self'" } else { "'none'" };
    format!(
        "default-src 'none'; style-src {}; script-src {}; form-action {action}; base-uri 'none'",
        of(STYLE),
        of(SCRIPT)
    )
}

fn print_sites(out: &mut Html, page: &Page) {
    out.raw("<section aria-labelledby=\"h-sites\">\n<h2 id=\"h-sites\">Sites</h2>\n");
    if let Some(token) = &page.form {
        out.raw("<form method=\"post\" action=\"/check\">");
        out.token(token);
        out.raw("<button>Check again</button></form>\n");
    }
    out.raw("<ul class=\"sites\">\n");
    for site in &page.sites {
        out.raw(if site.error.is_empty() { "<li>" } else { "<li class=\"down\">" });
        out.raw("<strong>");
        out.text(&site.address);
        out.raw("</strong> <span class=\"quiet\">");
        out.text(&site.directory);
        out.raw("</span><br>");
        out.text(&site.words);
        if !site.error.is_empty() {
            out.raw("<br><em>");
            out.text(&site.error);
            out.raw("</em>");
        }
        if !site.notes.is_empty() {
            out.raw("<ul class=\"notes\">");
            for note in &site.notes {
                out.raw("<li>");
                out.text(note);
                out.raw("</li>");
            }
            out.raw("</ul>");
        }
        out.raw("</li>\n");
    }
    out.raw("</ul>\n</section>\n");
}

fn print_operations(out: &mut Html, page: &Page) {
    out.raw("<section aria-labelledby=\"h-plan\">\n");
    out.raw("<h2 id=\"h-plan\">What synchro would do</h2>\n");
    if page.operations.is_empty() {
        out.raw("<p>Nothing.</p>\n</section>\n");
        return;
    }
    if let Some(token) = &page.form {
        out.raw("<form method=\"post\" action=\"/synchro\">");
        out.token(token);
        out.raw("\n");
    }
    out.raw("<div class=\"scroll\" role=\"region\" aria-labelledby=\"h-plan\" tabindex=\"0\">");
    out.raw("<table id=\"plan\"><thead><tr><th scope=\"col\">Do</th><th scope=\"col\">File</th>");
    out.raw("<th scope=\"col\">What</th><th scope=\"col\">Host</th></tr></thead>\n<tbody>\n");
    for operation in &page.operations {
        let class = if operation.why.is_empty() { "" } else { " class=\"waits\"" };
        out.raw(&format!("<tr{class}><td>"));
        if page.form.is_some() && !operation.is_conflict {
            let ticked = if operation.is_ticked { " checked" } else { "" };
            let number = operation.number;
            out.raw(&format!("<input type=\"checkbox\" name=\"tick\" value=\"{number}\"{ticked}"));
            out.raw(" aria-label=\"");
            out.text(&operation.path);
            out.raw("\">");
        } else {
            out.raw(if operation.is_ticked { "yes" } else { "no" });
        }
        out.raw("</td><th scope=\"row\">");
        out.text(&operation.path);
        out.raw("</th><td>");
        out.text(&operation.words);
        if !operation.why.is_empty() {
            out.raw(" <em>");
            out.text(&operation.why);
            out.raw("</em>");
        }
        out.raw("</td><td>");
        out.text(&operation.site);
        out.raw("</td></tr>\n");
    }
    out.raw("</tbody></table></div>\n");
    if page.form.is_some() {
        out.raw("<button>Synchronise what is ticked</button></form>\n");
    }
    out.raw("</section>\n");
}

fn print_list(out: &mut Html, id: &str, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.raw(&format!("<section aria-labelledby=\"h-{id}\">\n<h2 id=\"h-{id}\">{heading}</h2>\n"));
    out.raw("<ul>\n");
    for line in lines {
        out.raw("<li>");
        out.text(line);
        out.raw("</li>\n");
    }
    out.raw("</ul>\n</section>\n");
}

fn print_files(out: &mut Html, page: &Page) {
    out.raw("<section aria-labelledby=\"h-files\">\n<h2 id=\"h-files\">Files</h2>\n");
    out.raw("<p id=\"filter\" hidden><label>Show only <input type=\"search\" ");
    out.raw("autocomplete=\"off\"></label> <output></output></p>\n");
    out.raw("<div class=\"scroll\" role=\"region\" aria-labelledby=\"h-files\" tabindex=\"0\">");
    out.raw("<table id=\"files\"><thead><tr><th scope=\"col\">File</th>");
    out.raw("<th scope=\"col\">State</th><th scope=\"col\">Here</th>");
    for site in &page.sites {
        out.raw("<th scope=\"col\">");
        out.text(&site.address);
        out.raw("</th>");
    }
    out.raw("</tr></thead>\n<tbody>\n");
    for file in &page.files {
        out.raw("<tr class=\"");
        out.text(&file.state.replace(' ', "-"));
        out.raw("\"><th scope=\"row\">");
        out.text(&file.path);
        out.raw("</th><td>");
        out.text(&file.state);
        out.raw("</td><td><code>");
        out.text(&file.here);
        out.raw("</code></td>");
        for (words, site) in file.sites.iter().zip(&page.sites) {
            out.raw("<td data-label=\"");
            out.text(&site.address);
            out.raw("\">");
            out.text(words);
            out.raw("</td>");
        }
        out.raw("</tr>\n");
    }
    out.raw("</tbody></table></div>\n");
    if page.more > 0 {
        out.raw(&format!("<p>And {} more that are in step.</p>\n", page.more));
    }
    out.raw("</section>\n");
}

struct Html(String);

impl Html {
    /// Appends what is ours.
    fn raw(&mut self, html: &str) {
        self.0 += html;
    }

    /// Appends what is not: names, addresses, reasons.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0 += "&amp;",
                '<' => self.0 += "&lt;",
                '>' => self.0 += "&gt;",
                '"' => self.0 += "&quot;",
                '\'' => self.0 += "&#39;",
                c if c.is_control() => self.0.push('\u{fffd}'),
                // What would turn or hide the text around it is shown as what it is.
                c if is_invisible(c) => self.0 += &format!("\\u{{{:x}}}", c as u32),
                c => self.0.push(c),
            }
        }
    }

    fn token(&mut self, token: &str) {
        self.raw("<input type=\"hidden\" name=\"form\" value=\"");
        self.text(token);
        self.raw("\">");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evil() -> Page {
        let evil = "<script>alert(1)</script>\"'&\x07\u{202e}".to_owned();
        Page {
            title: evil.clone(),
            here: evil.clone(),
            checked: evil.clone(),
            summary: evil.clone(),
            sites: vec![SiteRow {
                address: evil.clone(),
                directory: evil.clone(),
                words: evil.clone(),
                error: evil.clone(),
                notes: vec![evil.clone()],
            }],
            files: vec![FileRow {
                path: evil.clone(),
                state: evil.clone(),
                here: evil.clone(),
                sites: vec![evil.clone()],
            }],
            more: 3,
            operations: vec![OperationRow {
                number: 7,
                path: evil.clone(),
                site: evil.clone(),
                words: evil.clone(),
                why: evil.clone(),
                ..OperationRow::default()
            }],
            waits: vec![evil.clone()],
            refused: vec![evil.clone()],
            notice: evil.clone(),
            form: Some(evil),
        }
    }

    #[test]
    fn nothing_that_is_not_ours_is_markup() {
        let text = String::from_utf8(print(&evil())).unwrap();
        assert_eq!(text.matches("<script>").count(), 1, "ours");
        assert!(!text.contains("alert(1)</script>"), "{text}");
        assert!(!text.contains('\x07') && !text.contains('\u{202e}'));
        assert!(
            text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}\\u{202e}")
        );
        for attribute in ["class=\"<", "value=\"<", "aria-label=\"<", "data-label=\"<"] {
            assert!(!text.contains(attribute), "{attribute}");
        }
    }

    #[test]
    fn the_policy_is_of_the_very_style_and_script() {
        let text = String::from_utf8(print(&Page::default())).unwrap();
        assert!(text.contains(&policy(false)) && text.contains("form-action 'none'"));
        assert!(!text.contains("<form"), "without a token nothing can be sent");
        for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
            let inside = text.split_once(open).unwrap().1.split_once(close).unwrap().0;
            let hash = base64(&Sha256::digest(inside.as_bytes()));
            assert!(policy(false).contains(&format!("'sha256-{hash}'")), "{open}");
        }
    }
}
