//! However the bytes are cut by the network, the connection sees the same.

use super::*;
use proptest::prelude::*;

/// Frames that a client might send, right and wrong ones.
pub(super) fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop::sample::select(vec![0u32, 1, 1, 3, 3, 5, 7, 2]);
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let body = (stream.clone(), any::<bool>(), payload.clone());
    prop_oneof![
        4 => (stream.clone(), any::<bool>()).prop_map(|(id, end)| {
            headers(id, if end { flag::END_STREAM } else { 0 }, &request("POST", &[]))
        }),
        4 => body.prop_map(|(id, end, bytes)| {
            frame(Kind::DATA, if end { flag::END_STREAM } else { 0 }, id, &bytes)
        }),
        1 => (stream.clone(), 0u8..16).prop_map(|(id, pad)| {
            let mut payload = vec![pad];
            payload.extend([7; 20]);
            frame(Kind::DATA, flag::PADDED, id, &payload)
        }),
        1 => (1usize..30).prop_map(|at| {
            let block = get();
            let (front, back) = block.split_at(at);
            let open = frame(Kind::HEADERS, flag::END_STREAM, 9, front);
            [open, frame(Kind::CONTINUATION, flag::END_HEADERS, 9, back)].concat()
        }),
        1 => stream.clone().prop_map(|id| frame(Kind::RST_STREAM, 0, id, &[0, 0, 0, 8])),
        1 => (stream.clone(), 0u32..1 << 20).prop_map(|(id, by)| {
            frame(Kind::WINDOW_UPDATE, 0, id, &by.to_be_bytes())
        }),
        1 => Just(frame(Kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 1, 0])),
        1 => Just(frame(Kind::PING, 0, 0, &[0; 8])),
        1 => (any::<u8>(), any::<u8>(), stream, payload)
            .prop_map(|(kind, flags, id, bytes)| frame(Kind(kind), flags, id, &bytes)),
    ]
}

/// All that can be seen of a connection that was fed these pieces.
fn seen(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>, Option<Failure>) {
    let mut bench = Bench::server(Limits::default());
    let failure = pieces.iter().find_map(|piece| bench.feed(piece).err());
    let mut seen = Vec::new();
    for event in std::mem::take(&mut bench.events) {
        let Event::Request { key, head, facts } = event else {
            seen.push(format!("{event:?}"));
            continue;
        };
        let body = bench.body(key);
        let end = bench.connection.take(key);
        let target = head.target().to_vec();
        seen.push(format!("{key:?} {target:?} {facts:?} {body:?} {end:?}"));
    }
    (seen, bench.written(), failure)
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        frames in prop::collection::vec(any_frame(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let bytes = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(seen(&pieces), seen(&[&bytes]));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(seen(&single), seen(&[&bytes]));
    }

    /// Whatever comes, the connection neither panics nor grows.
    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut bench = Bench::server(Limits::default());
        let _ = bench.feed(&bytes);
        bench.answer_all();
        bench.written();
    }
}
