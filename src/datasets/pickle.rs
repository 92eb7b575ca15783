//! The numbers of a pickled list, or list of lists: as much of Python's pickle format (protocols 2 to 5) as nuPlan's camera
//! table needs. Anything else is refused, and nothing is ever run.

/// The numbers, in order.
pub(super) fn numbers(blob: &[u8]) -> Result<Vec<f64>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    let take = |at: &mut usize, count: usize| -> Result<&[u8], String> {
        let bytes = blob
            .get(*at..*at + count)
            .ok_or("expected a pickled list, found its end")?;
        *at += count;
        Ok(bytes)
    };
    loop {
        let code = take(&mut at, 1)?[0];
        match code {
            // PROTO, BINPUT, BINGET
            0x80 | b'q' | b'h' => drop(take(&mut at, 1)?),
            // FRAME
            0x95 => drop(take(&mut at, 8)?),
            // LONG_BINPUT
            b'r' => drop(take(&mut at, 4)?),
            // EMPTY_LIST, MARK, APPEND, APPENDS, MEMOIZE, TUPLE and tuples of one to three, LIST
            b']' | b'(' | b'a' | b'e' | 0x94 | b't' | 0x85 | 0x86 | 0x87 | b'l' | b')' => {}
            // BINFLOAT, big-endian
            b'G' => {
                let bytes: [u8; 8] = take(&mut at, 8)?.try_into().unwrap_or_default();
                found.push(f64::from_be_bytes(bytes));
            }
            // BININT1, BININT2, BININT
            b'K' => found.push(f64::from(take(&mut at, 1)?[0])),
            b'M' => {
                let bytes: [u8; 2] = take(&mut at, 2)?.try_into().unwrap_or_default();
                found.push(f64::from(u16::from_le_bytes(bytes)));
            }
            b'J' => {
                let bytes: [u8; 4] = take(&mut at, 4)?.try_into().unwrap_or_default();
                found.push(f64::from(i32::from_le_bytes(bytes)));
            }
            b'.' => break,
            other => {
                return Err(format!(
                    "expected a pickled list of numbers, found the code {other:#04x}"
                ));
            }
        }
    }
    match found.iter().all(|value| value.is_finite()) {
        true => Ok(found),
        false => Err("expected finite numbers".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_read_and_nothing_else() {
        // pickle.dumps([1.5, 2, [300, -1]], protocol=4)
        let blob = b"\x80\x04\x95\x16\x00\x00\x00\x00\x00\x00\x00]\x94(G?\xf8\x00\x00\x00\x00\x00\x00K\x02]\x94(M,\x01J\xff\xff\xff\xffee.";
        assert_eq!(numbers(blob), Ok(vec![1.5, 2.0, 300.0, -1.0]));
        // os.system
        assert!(numbers(b"\x80\x04cos\nsystem\n.").is_err());
        assert!(numbers(b"\x80\x04]").is_err());
    }
}
