//! Cells by slot number, allocated a page at a time when first touched.
//!
//! A hot access is an index, a page pointer, a cell: no lock and no hash. Slot 0 stands for "other" in every table;
//! a number beyond the table falls there too.

use std::sync::OnceLock;

/// Slots of a page.
const PAGE: usize = 32;

/// A growable table of `T` that readers may walk while its writer grows it.
#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Box<[OnceLock<Page<T>>]>,
}

type Page<T> = Box<[T; PAGE]>;

impl<T: Default> Pages<T> {
    /// A table for slots 0 to `slots_max`, both included, without any page yet.
    pub(super) fn new(slots_max: u32) -> Pages<T> {
        let pages = slots_max as usize / PAGE + 1;
        Pages {
            pages: (0..pages).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The cells of a slot; makes their page on first touch.
    #[inline]
    pub(super) fn touch(&self, slot: u32) -> &T {
        let slot = slot as usize;
        match self.pages.get(slot / PAGE) {
            Some(page) => &page.get_or_init(new_page)[slot % PAGE],
            None => &self.pages[0].get_or_init(new_page)[0],
        }
    }

    /// The cells of a slot if its page was ever touched.
    pub(super) fn peek(&self, slot: u32) -> Option<&T> {
        let page = self.pages.get(slot as usize / PAGE)?.get()?;
        page.get(slot as usize % PAGE)
    }
}

#[cold]
fn new_page<T: Default>() -> Page<T> {
    let cells: Vec<T> = (0..PAGE).map(|_| T::default()).collect();
    let Ok(page) = cells.try_into() else {
        unreachable!("as many cells were made as a page has");
    };
    page
}

#[cfg(test)]
mod tests {
    use super::super::cell::Counter;
    use super::*;

    #[test]
    fn pages_come_with_the_first_touch() {
        let pages: Pages<Counter> = Pages::new(40);
        assert!(pages.peek(33).is_none());
        pages.touch(33).add(7);
        assert_eq!(pages.peek(33).unwrap().read(), 7);
        assert_eq!(pages.peek(34).unwrap().read(), 0);
        assert!(pages.peek(0).is_none());
    }

    #[test]
    fn slots_beyond_the_table_are_other() {
        let pages: Pages<Counter> = Pages::new(PAGE as u32 - 1);
        pages.touch(PAGE as u32).one();
        pages.touch(u32::MAX).one();
        assert_eq!(pages.peek(0).unwrap().read(), 2);
        assert!(pages.peek(PAGE as u32).is_none());
    }
}
