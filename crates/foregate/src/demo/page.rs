//! The page that a sample backend makes of what it was told.

use std::net::SocketAddr;

use hyper::HeaderMap;

const TEMPLATE: &str = include_str!("page.html");

/// The page of the backend `name`, which was sent `fields`.
pub(super) fn render(name: &str, address: SocketAddr, fields: &HeaderMap) -> String {
    let told = |field: &str| {
        let value = fields.get(field).map(|value| value.as_bytes());
        escaped(&String::from_utf8_lossy(value.unwrap_or(b"not told")))
    };
    let rows: String = fields
        .iter()
        .map(|(field, value)| {
            let value = escaped(&String::from_utf8_lossy(value.as_bytes()));
            format!("<tr><th>{field}</th><td>{value}</td></tr>\n")
        })
        .collect();
    fill(TEMPLATE, |placeholder| match placeholder {
        "name" => name.to_owned(),
        "address" => address.to_string(),
        "route" => told("x-demo-route"),
        "policy" => told("x-demo-policy"),
        "request_id" => told("x-request-id"),
        "client" => told("x-forwarded-for"),
        "rows" => rows.clone(),
        _ => String::new(),
    })
}

/// Replaces every `{{name}}` of a template; what is put in is not looked at again.
fn fill(template: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (placeholder, after) = after.split_once("}}").unwrap_or((after, ""));
        filled.push_str(before);
        filled.push_str(&value(placeholder));
        rest = after;
    }
    filled + rest
}

/// Text as HTML: clients say what stands in their requests.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn page(fields: &[(&'static str, &'static str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        render("b", SocketAddr::from(([127, 0, 0, 1], 7)), &headers)
    }

    #[test]
    fn it_shows_what_the_backend_was_told() {
        let page = page(&[
            ("x-demo-route", "page"),
            ("x-request-id", "id-1"),
            ("via", "1.1 foregate"),
        ]);
        for expected in [
            "127.0.0.1:7",
            "page",
            "id-1",
            "<th>via</th><td>1.1 foregate</td>",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("{{"), "{page}");
    }

    #[test]
    fn what_a_client_says_stays_text() {
        let page = page(&[("x-evil", "<script>'\"&</script>{{rows}}")]);
        assert!(
            page.contains("<td>&lt;script&gt;&#39;&quot;&amp;&lt;/script&gt;{{rows}}</td>"),
            "{page}"
        );
    }
}
