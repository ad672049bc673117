//! The page of `display` in a real browser: read, sort, filter, both buttons, on a phone, in the
//! dark, without script, and with names that try to be more than names.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;
use support::World;
use support::browser::Browser;
use support::sshd::{Hosts, Rules};

/// Says of each text on the page how far it stands out, at the least: WCAG 2.2, 1.4.3.
const LEAST_CONTRAST: &str = "(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(dark ? 'rgb(18, 18, 18)' : 'rgb(255, 255, 255)');
  const all = [...document.querySelectorAll('h1,h2,p,li,th,td,em,strong,span,code,label')];
  const seen = all.filter((e) => e.offsetParent && e.textContent.trim());
  return Math.min(...seen.map((e) => {
    const text = light(getComputedStyle(e).color);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  }));
})()";

/// Lists what somebody with a screen reader or a keyboard would stumble over.
const STUMBLES: &str = "(() => {
  const bad = [];
  const one = (selector, count) => {
    const found = document.querySelectorAll(selector).length;
    if (found !== count) bad.push(selector + ': ' + found);
  };
  one('html[lang]', 1); one('h1', 1); one('main', 1); one('title', 1);
  one('meta[name=viewport]', 1);
  for (const e of document.querySelectorAll('input:not([type=hidden])')) {
    if (!e.getAttribute('aria-label') && !e.closest('label')) bad.push('no label: ' + e.outerHTML);
    const box = e.getBoundingClientRect();
    if (e.offsetParent && Math.min(box.width, box.height) < 20) bad.push('small: ' + e.outerHTML);
  }
  for (const e of document.querySelectorAll('button')) {
    if (!e.textContent.trim()) bad.push('no name: ' + e.outerHTML);
  }
  for (const e of document.querySelectorAll('section')) {
    const heading = document.getElementById(e.getAttribute('aria-labelledby'));
    if (!heading || heading.tagName !== 'H2') bad.push('no heading: ' + e.outerHTML);
  }
  for (const e of document.querySelectorAll('th')) {
    if (!['row', 'col'].includes(e.scope)) bad.push('no scope: ' + e.outerHTML);
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  if (new Set(ids).size !== ids.length) bad.push('an id twice');
  return bad;
})()";

const ROWS: &str = "[...document.querySelectorAll('#files tbody tr')].filter((row) => !row.hidden)\
                    .map((row) => row.cells[0].textContent)";

/// Says how many lines high the texts of some cells are at most.
fn lines_of(cells: &str) -> String {
    format!(
        "Math.max(...[...document.querySelectorAll('{cells}')].map((cell) => {{ \
         const all = document.createRange(); all.selectNodeContents(cell); \
         return Math.round(all.getBoundingClientRect().height / 23); }}))"
    )
}

#[test]
fn the_page_in_a_real_browser() {
    let world = World::new();
    let home = world.home("a");
    let mut hosts = Hosts::new(world.path());
    hosts.settle(&home.top.join("config.toml"));
    let evil = "<img src=x onerror='window.evil=1'>";
    home.init(&[]).done();
    for number in [1, 2] {
        let ip = format!("127.0.0.{number}");
        hosts.start(&ip, &Rules::default());
        let there = world.path().join("there").join(number.to_string());
        fs::create_dir_all(&there).unwrap();
        let there = there.to_str().unwrap();
        home.run(&["create", "remote", &format!("ssh://{ip}"), there]).done();
    }
    let there = world.path().join("there");
    for name in ["apple", "pear", "folder/a rather long name of a file, as people have them.txt"] {
        home.write(name, "the same");
        for number in ["1", "2"] {
            let file = there.join(number).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "the same").unwrap();
        }
    }
    home.write(evil, "ours");
    fs::write(there.join("1/banana"), "theirs").unwrap();
    std::os::unix::fs::symlink("/", there.join("2/conflict")).unwrap();
    home.write("conflict", "ours");
    // A name without spaces leaves the other columns their words.
    home.write("m".repeat(250), "ours");
    fs::write(there.join("1/conflict"), "theirs").unwrap();
    let mut command = home.command(support::REMSYNC);
    command.args(["display", "--serve"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = command.spawn().unwrap();
    let mut link = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut link).unwrap();

    let mut browser = Browser::start(&home.top);
    browser.look(1200, "light");
    browser.go(link.trim());
    browser
        .wait_for("document.querySelector('h1').textContent === 'Test' && location.search === ''");
    assert_eq!(browser.eval("document.cookie"), "", "no script sees the cookie");
    assert_eq!(browser.eval("getComputedStyle(document.body).maxWidth"), "1200px", "style applies");
    assert_eq!(browser.eval("document.getElementById('filter').hidden"), false, "script runs");
    assert_eq!(browser.eval(STUMBLES), json!([]));
    browser.shoot("wide-light.png");

    // Those that differ stand first; filter and sort.
    let first = browser.eval(ROWS);
    assert_eq!(first.as_array().unwrap()[..3], [json!(evil), json!("banana"), json!("conflict")]);
    let filter = |words: &str| {
        format!(
            "(() => {{ const box = document.querySelector('input[type=search]'); \
             box.value = '{words}'; box.dispatchEvent(new Event('input')); return {ROWS}; }})()"
        )
    };
    assert_eq!(browser.eval(&filter("an na")), json!(["banana"]));
    assert_eq!(browser.eval("document.querySelector('output').textContent"), "1 of 7");
    assert_eq!(browser.eval(&filter("")).as_array().unwrap().len(), 7);
    browser.eval("document.querySelector('#files th button').click()");
    assert_eq!(browser.eval(ROWS).as_array().unwrap()[..2], [json!(evil), json!("apple")]);
    assert_eq!(browser.eval("document.querySelector('#files th').ariaSort"), "ascending");
    browser.eval("document.querySelector('#files th button').click()");
    assert_eq!(browser.eval(ROWS)[0], "pear");

    // On a phone, in the light and in the dark.
    for (width, scheme) in [(1200, "light"), (1200, "dark"), (360, "light"), (360, "dark")] {
        browser.look(width, scheme);
        let wide = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(width), "{wide} of {width} pixels");
        // Names and addresses are not broken in the middle where there is room for them.
        let lines = browser.eval(&lines_of("#plan td:last-child"));
        assert!(lines.as_u64().unwrap() <= 1, "{lines} lines for a host's name at {width}");
        let contrast = browser.eval(LEAST_CONTRAST).as_f64().unwrap();
        assert!(contrast >= 4.5, "{contrast} at {width}, {scheme}");
        browser.shoot(&format!("{width}-{scheme}.png"));
    }

    // Both buttons: one file is not to go.
    browser.look(360, "light");
    let boxes = "[...document.querySelectorAll('input[name=tick]')]";
    assert_eq!(browser.eval(&format!("{boxes}.length")), 5, "a conflict has none");
    browser.eval(&format!("{boxes}.find((box) => box.ariaLabel === 'banana').click()"));
    browser.eval("document.querySelector('form[action=\"/synchro\"] button').click()");
    browser
        .wait_for("document.querySelector('[role=status]').textContent.startsWith('4 uploaded')");
    browser.shoot("done.png");
    assert!(home.read("banana").is_none(), "it was not ticked");
    assert_eq!(fs::read_to_string(there.join("2").join(evil)).unwrap(), "ours");
    fs::write(there.join("2/cherry"), "new").unwrap();
    browser.eval("document.querySelector('form[action=\"/check\"] button').click()");
    browser.wait_for("document.querySelector('[role=status]').textContent === 'Checked again.'");
    assert!(browser.eval(ROWS).as_array().unwrap().contains(&json!("cherry")));
    assert_eq!(browser.eval("window.evil === undefined"), true, "a name is a name");
    let _ = server.kill();
    let _ = server.wait();

    // The file, without script: all of it is there to be read.
    home.run(&["display"]).with(1);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    let file = home.tree.join(".remsync.d/display.html");
    browser.go(&format!("file://{}", file.display()));
    browser.wait_for("document.querySelectorAll('#files tbody tr').length === 8");
    assert_eq!(browser.eval("document.getElementById('filter').hidden"), true);
    let text = browser.eval("document.body.innerText");
    for words in [
        evil,
        "cherry",
        "conflict",
        "changed here and there",
        "looked at just now",
        "conflict: a symbolic link is there",
    ] {
        assert!(text.as_str().unwrap().contains(words), "{words}: {text}");
    }
    assert_eq!(browser.eval("document.querySelectorAll('form, input[name=tick]').length"), 0);
    browser.look(1200, "light");
    // With room for it no word is broken: "no" is one line high.
    assert_eq!(browser.eval(&lines_of("#plan td:first-child")), 1);
}
