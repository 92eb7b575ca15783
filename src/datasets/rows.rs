//! JSON tables (one array of objects), row by row.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, Deserializer, SeqAccess, Visitor};

use super::error::DatasetError;
use super::nuscenes::open_table;

/// Hands every row of the table to `take`, without holding the table.
pub(super) fn for_each_row<T: DeserializeOwned>(
    path: &Path,
    take: impl FnMut(T) -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    struct Rows<'a, T, F> {
        take: F,
        failed: &'a mut Option<DatasetError>,
        row: PhantomData<T>,
    }

    impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<(), DatasetError>> Visitor<'de> for Rows<'_, T, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of rows")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<(), A::Error> {
            while let Some(row) = rows.next_element::<T>()? {
                if let Err(error) = (self.take)(row) {
                    *self.failed = Some(error);
                    return Err(serde::de::Error::custom("stopped"));
                }
            }
            Ok(())
        }
    }

    let mut failed = None;
    let mut reader = serde_json::Deserializer::from_reader(open_table(path)?);
    let rows = Rows {
        take,
        failed: &mut failed,
        row: PhantomData,
    };
    // serde's message names the column: "missing field `translation` at line 3 column 5".
    let read = reader
        .deserialize_seq(rows)
        .map_err(|error| DatasetError::format(path, error.to_string()));
    match failed {
        Some(error) => Err(error),
        None => read,
    }
}
