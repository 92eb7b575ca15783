//! Small pieces of the sentences that answers are made of.

/// `12.00 seconds`.
pub(super) fn seconds(time_s: f64) -> String {
    format!("{time_s:.2} seconds")
}

/// With its first letter as a capital.
pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// `object 1`, `objects 1 and 2`, `objects 1, 2 and 3`; many are only counted.
pub(super) fn objects(ids: &[u64]) -> String {
    match ids {
        [] => "no objects".to_owned(),
        [id] => format!("object {id}"),
        [first @ .., last] if ids.len() <= 6 => {
            let first = first.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            format!("objects {first} and {last}")
        }
        _ => format!("{} objects", ids.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_like_english() {
        assert_eq!(objects(&[3]), "object 3");
        assert_eq!(objects(&[3, 5]), "objects 3 and 5");
        assert_eq!(objects(&[3, 5, 7]), "objects 3, 5 and 7");
        assert_eq!(objects(&[1; 20]), "20 objects");
        assert_eq!(capitalized("object 3"), "Object 3");
        assert_eq!(capitalized(""), "");
    }
}
