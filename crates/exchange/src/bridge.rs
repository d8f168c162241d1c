//! Bridge: a client of gRPC-Web, as the rest of the road sees it: one of gRPC.

use crate::exchange::Exchange;
use foregate_message::{
    BodyLength, Chunk, Client, Fields, Frame, Peer, Piped, Reason, ResponseHead,
};
use foregate_policy::grpc_web::{Form, Messages, RequestBody, ResponseBody};
use std::task::{Context, Poll, ready};

/// The form of gRPC-Web that a request speaks, if its upstream has it translated.
pub(crate) fn form(exchange: &Exchange, fields: &Fields) -> Option<Form> {
    let plan = &exchange.plan;
    let upstream = &plan.upstreams[exchange.destination(plan).upstream as usize];
    upstream.grpc_web.then(|| Form::of(fields)).flatten()
}

/// How long the translated body is, as far as that is known.
pub(crate) fn length(
    form: Form,
    received: Result<BodyLength, Reason>,
) -> Result<BodyLength, Reason> {
    match received? {
        BodyLength::Known(1..) if form == Form::Text => Ok(BodyLength::Unknown),
        length => Ok(length),
    }
}

/// A client behind the translation.
pub(crate) struct Bridged<'c, C> {
    client: &'c mut C,
    form: Form,
    request: RequestBody,
    /// Once the head of a gRPC answer has passed.
    response: Option<ResponseBody>,
    messages: Messages,
    scratch: Vec<u8>,
}

impl<'c, C: Client> Bridged<'c, C> {
    /// Translates the request's fields, and from here on what follows them.
    pub(crate) fn new(client: &'c mut C, form: Form, fields: &mut Fields) -> Bridged<'c, C> {
        form.request(fields);
        Bridged {
            client,
            form,
            request: RequestBody::new(form),
            response: None,
            messages: Messages::default(),
            scratch: Vec::new(),
        }
    }
}

impl<C: Client> Client for Bridged<'_, C> {
    fn peer(&self) -> &Peer {
        self.client.peer()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Reason>> {
        loop {
            let frame = ready!(self.client.poll_frame(cx))?;
            if self.request.is_plain() {
                return Poll::Ready(Ok(frame));
            }
            let Frame::Data(data) = frame else {
                self.request.end().map_err(Reason::Request)?;
                return Poll::Ready(Ok(frame));
            };
            self.scratch.clear();
            let decoded = self.request.decode(data.as_slice(), &mut self.scratch);
            decoded.map_err(Reason::Request)?;
            // A piece of less than a group holds no byte yet.
            if !self.scratch.is_empty() {
                return Poll::Ready(Ok(Frame::Data(Chunk::copy_of(&self.scratch))));
            }
        }
    }

    fn going_to(&mut self, route: u32, endpoint: u32) {
        self.client.going_to(route, endpoint);
    }

    fn allow_pipes(&mut self, allowed: bool) {
        self.client.allow_pipes(allowed && self.request.is_plain());
    }

    fn allow_pauses(&mut self) {
        self.client.allow_pauses();
    }

    fn limit_body(&mut self, bytes_max: Option<u64>) {
        self.client.limit_body(bytes_max);
    }

    fn inform(&mut self, head: &ResponseHead) {
        self.client.inform(head);
    }

    fn respond(&mut self, head: &ResponseHead, length: BodyLength) {
        let mut head = head.clone();
        if !self.form.response(&mut head.fields) {
            return self.client.respond(&head, length);
        }
        self.response = Some(ResponseBody::new(self.form));
        // A status without messages stays in the head; all else may be followed by a frame of trailers.
        let length = if length.is_empty() {
            length
        } else {
            BodyLength::Unknown
        };
        self.client.respond(&head, length);
    }

    fn close_behind(&mut self) {
        self.client.close_behind();
    }

    fn send(&mut self, data: Chunk) {
        if self.response.is_some() {
            self.messages.follow(data.as_slice());
        }
        match self.response {
            Some(body) if !body.is_plain() => {
                self.scratch.clear();
                body.encode(data.as_slice(), &mut self.scratch);
                self.client.send(Chunk::copy_of(&self.scratch));
            }
            _ => self.client.send(data),
        }
    }

    fn takes_pipes(&self) -> bool {
        self.response.is_none() && self.client.takes_pipes()
    }

    fn send_piped(&mut self, piped: Piped) {
        self.client.send_piped(piped);
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        let Some(body) = self.response else {
            return self.client.finish(trailers);
        };
        if let Some(frame) = trailers
            .map(|trailers| body.trailers(trailers))
            .filter(|frame| !frame.is_empty())
        {
            // Within a message that broke off it would be taken for the rest of it.
            if !self.messages.are_whole() {
                return self.client.abort();
            }
            self.client.send(Chunk::copy_of(&frame));
        }
        self.client.finish(None);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        self.client.poll_flush(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.client.poll_gone(cx)
    }

    fn abort(&mut self) {
        self.client.abort();
    }

    fn transferred(&self) -> (u64, u64) {
        self.client.transferred()
    }
}
