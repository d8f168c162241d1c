//! Fixed answers.

use crate::header_rules::field_name;
use crate::template::is_control;
use crate::{Answer, Problem, Verdict};
use foregate_message::{Chunk, FieldId, FieldName, Reason, ResponseHead, Status};

/// A compiled fixed answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Respond {
    status: Status,
    body: Box<[u8]>,
    fields: Box<[(FieldName, Box<[u8]>)]>,
}

impl Respond {
    /// Checks and compiles an answer with status 200 to 599. A body without Content-Type is plain text.
    ///
    /// # Errors
    /// Another status, a body where the status allows none (RFC 9110 §6.4.1, §15.3.6), a field that is reserved or
    /// has a value with a control character.
    pub fn compile(
        status: u16,
        body: &str,
        headers: &[(String, String)],
    ) -> Result<Respond, Problem> {
        let code = Status::new(status)
            .filter(|status| (200..600).contains(&status.code()))
            .filter(|status| body.is_empty() || !(status.is_bodiless() || status.code() == 205))
            .ok_or(Problem::Status(status))?;
        let mut fields = Vec::with_capacity(headers.len() + 1);
        for (name, value) in headers {
            if value.bytes().any(is_control) {
                return Err(Problem::FieldValue(name.clone()));
            }
            fields.push((field_name(name)?, value.trim_ascii().as_bytes().into()));
        }
        if !body.is_empty()
            && !fields
                .iter()
                .any(|(name, _)| name.id() == FieldId::ContentType)
        {
            let plain = b"text/plain; charset=utf-8";
            fields.push((
                FieldName::known(FieldId::ContentType),
                plain.as_slice().into(),
            ));
        }
        Ok(Respond {
            status: code,
            body: body.as_bytes().into(),
            fields: fields.into(),
        })
    }

    /// The answer.
    pub fn apply(&self) -> Verdict {
        let mut head = ResponseHead::new(self.status);
        for (name, value) in &self.fields {
            head.fields.append_named(name, value);
        }
        Verdict::Respond(Box::new(Answer {
            reason: Reason::Responded,
            head,
            body: Chunk::copy_of(&self.body),
        }))
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Bytes of the body.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, headers: &[(&str, &str)], expected: &str) {
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        let Verdict::Respond(answer) = Respond::compile(status, body, &headers).unwrap().apply()
        else {
            panic!("no answer");
        };
        let mut out = Vec::new();
        answer.head.fields.write_http1(&mut out);
        let text = String::from_utf8(out).unwrap().replace("\r\n", "\n");
        assert_eq!(format!("{} {text}", answer.head.status.code()), expected);
        assert_eq!(answer.body.as_slice(), body.as_bytes());
    }

    #[test]
    fn answers() {
        check(
            200,
            "hi",
            &[],
            "200 Content-Type: text/plain; charset=utf-8\n",
        );
        check(
            503,
            "{}",
            &[("content-type", "application/json"), ("X-A", " 1 ")],
            "503 content-type: application/json\nX-A: 1\n",
        );
        check(204, "", &[], "204 ");
    }

    #[test]
    fn what_would_break_the_answer_is_refused() {
        let refusal = |status: u16, body: &str, name: &str, value: &str| {
            Respond::compile(status, body, &[(name.into(), value.into())]).unwrap_err()
        };
        for status in [0, 101, 199, 600, 204, 205, 304] {
            assert_eq!(refusal(status, "x", "X-A", "1"), Problem::Status(status));
        }
        assert_eq!(
            refusal(200, "", "X-A", "1\n2"),
            Problem::FieldValue("X-A".into())
        );
        assert_eq!(
            refusal(200, "", "Content-Length", "1"),
            Problem::ReservedField("Content-Length".into())
        );
    }
}
