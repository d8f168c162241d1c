//! The documents: their links lead somewhere, and their configurations are accepted by the product.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::finding::Finding;
use crate::{product, tree};

/// Generated from the settings' types and held by a test there; its blocks show single keys.
const REFERENCE: &str = "docs/reference.md";

/// Checks relative links, and the headings they name, in every document.
pub(crate) fn check_links(root: &Path, findings: &mut Vec<Finding>) -> Result<(), String> {
    for path in tree::files(root, "md") {
        let text = tree::read(root, &path)?;
        for (line, target) in links(&text) {
            if let Some(complaint) = dangling(root, &path, &text, target)? {
                findings.push(Finding::new(&path, line, complaint));
            }
        }
    }
    Ok(())
}

fn dangling(root: &Path, path: &Path, text: &str, target: &str) -> Result<Option<String>, String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(None);
    }
    let (file, heading) = match target.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (target, None),
    };
    let linked = resolve(path, file);
    if !file.is_empty() && !root.join(&linked).exists() {
        return Ok(Some(format!("the link `{target}` leads nowhere")));
    }
    let Some(heading) = heading else {
        return Ok(None);
    };
    let of_this = file.is_empty() || linked == path;
    if !of_this && linked.extension().is_none_or(|it| it != "md") {
        return Ok(None);
    }
    let known = match of_this {
        true => anchors(text),
        false => anchors(&tree::read(root, &linked)?),
    };
    let found = known.iter().any(|anchor| anchor == heading);
    Ok((!found).then(|| format!("the link `{target}` names no heading")))
}

/// Where a link in `path` leads, relative to the root.
fn resolve(path: &Path, link: &str) -> PathBuf {
    let mut resolved = path.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::Normal(name) => resolved.push(name),
        }
    }
    resolved
}

/// Lines of a document outside fenced blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// Targets of `[…](target)` and `[…]: target`, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        // Every second piece is inline code.
        for piece in content.split('`').step_by(2) {
            for (at, _) in piece.match_indices("](") {
                let target = &piece[at + 2..];
                found.extend(target.split_once(')').map(|(target, _)| (line, target)));
            }
        }
        let definition = content
            .strip_prefix('[')
            .and_then(|it| it.split_once("]: "));
        found.extend(definition.map(|(_, target)| (line, target.trim())));
    }
    found
}

/// The anchors of a document's headings, as forges make them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let mut anchor = String::new();
        for character in heading.trim().chars() {
            match character {
                ' ' => anchor.push('-'),
                '-' | '_' => anchor.push(character),
                _ if character.is_alphanumeric() => anchor.extend(character.to_lowercase()),
                _ => {}
            }
        }
        let earlier = anchors.iter().filter(|it| **it == anchor).count();
        anchors.push(match earlier {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
    }
    anchors
}

/// A fenced configuration, and the line its fence stands on.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    line: usize,
    text: String,
}

/// The blocks fenced as `toml`; `toml,fragment` marks one that is no whole configuration.
fn examples(text: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line);
        let content: Vec<&str> = inside
            .take_while(|it| !it.trim_start().starts_with("```"))
            .collect();
        if language.trim() == "toml" {
            found.push(Example {
                line: index + 1,
                text: content.join("\n") + "\n",
            });
        }
    }
    found
}

/// Passes every example configuration of the documents to `foregate check`.
pub(crate) fn check_examples() -> Result<String, String> {
    let root = tree::root();
    let scratch = std::env::temp_dir().join(format!("foregate-docs-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let outcome = check_examples_in(&root, &scratch);
    let cleaned =
        fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()));
    let (checked, complaints) = outcome?;
    cleaned?;
    match complaints.as_slice() {
        [] => Ok(format!(
            "docs: {checked} example configurations are accepted"
        )),
        complaints => Err(complaints.join("\n")),
    }
}

fn check_examples_in(root: &Path, scratch: &Path) -> Result<(usize, Vec<String>), String> {
    let mut checked = 0;
    let mut complaints = Vec::new();
    let documents = tree::files(root, "md").into_iter();
    for path in documents.filter(|path| path != Path::new(REFERENCE)) {
        for example in examples(&tree::read(root, &path)?) {
            let file = scratch.join("foregate.toml");
            // The folder that the service has for its logs is none that every machine has.
            let folder = scratch.to_string_lossy();
            let text = example
                .text
                .replace("/var/log/foregate/", &format!("{folder}/"));
            fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
            let output = product::run(root, &["check".as_ref(), "-c".as_ref(), file.as_ref()])?;
            checked += 1;
            if !output.status.success() {
                complaints.push(format!(
                    "{}\n{}{}",
                    Finding::new(&path, example.line, "`foregate check` refuses this block"),
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr),
                ));
            }
        }
    }
    Ok((checked, complaints))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "a [b](c.md) `[x](y)` [d](e#f)\n```\n[g](h)\n```\n[i]: j.md\n";
        assert_eq!(links(text), [(1, "c.md"), (1, "e#f"), (5, "j.md")]);
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# A `b` C\n## What's new?\n## Same\n## Same\n```\n# not one\n```\n";
        assert_eq!(anchors(text), ["a-b-c", "whats-new", "same", "same-1"]);
    }

    #[test]
    fn links_resolve_against_their_document() {
        assert_eq!(
            resolve(Path::new("docs/a.md"), "../README.md"),
            Path::new("README.md")
        );
        assert_eq!(
            resolve(Path::new("docs/a.md"), "./b.md"),
            Path::new("docs/b.md")
        );
        assert_eq!(
            resolve(Path::new("README.md"), "docs/b.md"),
            Path::new("docs/b.md")
        );
    }

    #[test]
    fn whole_toml_blocks_are_examples_and_fragments_are_not() {
        let text = "```toml\na = 1\n```\n```toml,fragment\nb = 2\n```\n```sh\nc\n```\n";
        let expected = Example {
            line: 1,
            text: "a = 1\n".to_owned(),
        };
        assert_eq!(examples(text), [expected]);
    }
}
