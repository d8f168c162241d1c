//! What requests, responses and trailers have in common: lines, and limits on them (RFC 9113 §8.2).

use super::HeadFault;
use crate::h1::HeadLimits;
use crate::h2::hpack::{Block, Decoder, Found, Kind, Pseudo, Undecodable};
use foregate_message::{Fault, FieldId, FieldSet, Fields};
use std::ops::Range;

/// Fields that belong to an HTTP/1 connection (RFC 9113 §8.2.2). TE is another matter.
const CONNECTION_SPECIFIC: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
]);

/// Where the values of the pseudo-header fields stand in the buffer of the fields.
#[derive(Default)]
pub(super) struct Pseudos {
    pub(super) method: Option<Range<usize>>,
    pub(super) scheme: Option<Range<usize>>,
    pub(super) path: Option<Range<usize>>,
    pub(super) authority: Option<Range<usize>>,
    pub(super) status: Option<Range<usize>>,
    pub(super) protocol: Option<Range<usize>>,
}

impl Pseudos {
    /// Forgets what stood from `start` on.
    #[cold]
    fn forget(&mut self, start: usize) {
        let Pseudos {
            method,
            scheme,
            path,
            authority,
            status,
            protocol,
        } = self;
        for place in [method, scheme, path, authority, status, protocol] {
            place.take_if(|range| range.end > start);
        }
    }
}

/// Takes a block that nobody wants, so that the tables stay the same on both sides.
///
/// # Errors
/// [`HeadFault::Compression`].
pub fn skip(decoder: &mut Decoder, block: &[u8]) -> Result<(), HeadFault> {
    let mut block = decoder.block(block);
    let mut scratch = Vec::new();
    while let Some(_line) = next(&mut block, false, &mut scratch)? {
        scratch.clear();
    }
    Ok(())
}

#[inline]
fn next(
    block: &mut Block<'_>,
    wanted: bool,
    out: &mut Vec<u8>,
) -> Result<Option<Found>, HeadFault> {
    block
        .next(wanted, out)
        .map_err(|Undecodable| HeadFault::Compression)
}

/// Reads all lines of a block into `fields`, which is empty, and where the pseudo-header fields stand in it into
/// `pseudos`. `target_bytes_max` is what `:path` may have.
///
/// Whatever else is wrong, the block is decoded to its end: other streams' blocks build on it. But from the first fault
/// on nothing is kept.
#[inline]
pub(super) fn read(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &HeadLimits,
    fields: &mut Fields,
    pseudos: &mut Pseudos,
) -> Result<(), HeadFault> {
    let mut block = decoder.block(block);
    let mut section = Section {
        pseudos,
        left: limits.head_bytes_max,
        crumbs: 0,
        limits,
    };
    while let Some(line) = next(&mut block, true, fields.buffer())? {
        if let Err(fault) = section.take(&line, fields) {
            fields.buffer().truncate(line.start);
            section.pseudos.forget(line.start);
            skip_rest(&mut block)?;
            return Err(fault);
        }
    }
    if fields.has_any(CONNECTION_SPECIFIC) {
        return Err(HeadFault::Malformed(Fault::ConnectionField));
    }
    Ok(())
}

#[cold]
fn skip_rest(block: &mut Block<'_>) -> Result<(), HeadFault> {
    let mut scratch = Vec::new();
    while let Some(_line) = next(block, false, &mut scratch)? {
        scratch.clear();
    }
    Ok(())
}

struct Section<'a> {
    pseudos: &'a mut Pseudos,
    /// How many bytes there may still be, as RFC 9113 §10.5.1 counts them.
    left: usize,
    /// Pieces of the one Cookie field (RFC 9113 §8.2.3), which browsers send a line for each cookie of.
    crumbs: usize,
    limits: &'a HeadLimits,
}

impl Section<'_> {
    #[inline]
    fn take(&mut self, line: &Found, fields: &mut Fields) -> Result<(), HeadFault> {
        let left = self.left.checked_sub(line.bytes());
        self.left = left.ok_or(HeadFault::Answerable(Fault::HeadTooLarge))?;
        if let Some(fault) = line.value_fault {
            return Err(HeadFault::Malformed(fault));
        }
        match line.kind {
            Kind::Field(id) => {
                self.crumbs += usize::from(id == FieldId::Cookie);
                if fields.len() >= self.limits.fields_max + self.crumbs.saturating_sub(1) {
                    return Err(HeadFault::Answerable(Fault::TooManyFields));
                }
                fields.push_written(id, line.start, line.name_len, line.value_len, line.guarded);
                Ok(())
            }
            Kind::Pseudo(pseudo) => self.take_pseudo(pseudo, line, fields),
            Kind::Broken(Fault::HeadTooLarge) => Err(HeadFault::Answerable(Fault::HeadTooLarge)),
            Kind::Broken(fault) => Err(HeadFault::Malformed(fault)),
        }
    }

    /// Each once, and before all fields (RFC 9113 §8.3).
    #[inline]
    fn take_pseudo(
        &mut self,
        pseudo: Pseudo,
        line: &Found,
        fields: &mut Fields,
    ) -> Result<(), HeadFault> {
        let has_authority = self.pseudos.authority.is_some();
        if fields.len() > usize::from(has_authority) {
            return Err(HeadFault::Malformed(Fault::PseudoHeader));
        }
        let place = match pseudo {
            Pseudo::Authority => &mut self.pseudos.authority,
            Pseudo::Method => &mut self.pseudos.method,
            Pseudo::Path => &mut self.pseudos.path,
            Pseudo::Scheme => &mut self.pseudos.scheme,
            Pseudo::Status => &mut self.pseudos.status,
            Pseudo::Protocol => &mut self.pseudos.protocol,
        };
        let value = line.start + line.name_len + 2;
        if place.replace(value..value + line.value_len).is_some() {
            return Err(HeadFault::Malformed(Fault::PseudoHeader));
        }
        match pseudo {
            Pseudo::Path if line.value_len > self.limits.target_bytes_max => {
                Err(HeadFault::Answerable(Fault::TargetTooLong))
            }
            // Its line reads `host: …` already.
            Pseudo::Authority => {
                let host = FieldId::Host;
                fields.push_written(
                    host,
                    line.start,
                    line.name_len,
                    line.value_len,
                    line.guarded,
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
