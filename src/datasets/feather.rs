//! Columns of feather files (Arrow IPC), checked by name and type.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_schema::DataType;

use super::error::DatasetError;

/// A feather file, read batch by batch.
pub(super) struct Table {
    path: PathBuf,
    reader: FileReader<BufReader<File>>,
}

impl Table {
    /// Opens a file and keeps the named columns, all of which must be there.
    pub fn open(path: &Path, columns: &[&str]) -> Result<Self, DatasetError> {
        let open = || File::open(path).map(BufReader::new);
        let file = open().map_err(|source| DatasetError::read(path, source))?;
        let not_feather = |error| DatasetError::format(path, format!("expected a feather file (Arrow IPC): {error}"));
        let schema = FileReader::try_new(file, None).map_err(not_feather)?.schema();
        let mut wanted = Vec::with_capacity(columns.len());
        for column in columns {
            wanted.push(schema.index_of(column).map_err(|_| {
                let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                DatasetError::column(path, column, format!("missing; the file has {}", known.join(", ")))
            })?);
        }
        let file = open().map_err(|source| DatasetError::read(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            reader: FileReader::try_new(file, Some(wanted)).map_err(not_feather)?,
        })
    }

    /// The next rows; `None` at the end.
    pub fn next_rows(&mut self) -> Result<Option<Rows<'_>>, DatasetError> {
        match self.reader.next() {
            None => Ok(None),
            Some(Ok(batch)) => Ok(Some(Rows {
                path: &self.path,
                batch,
            })),
            Some(Err(error)) => Err(DatasetError::format(&self.path, error.to_string())),
        }
    }
}

/// Some rows of a table.
pub(super) struct Rows<'a> {
    path: &'a Path,
    batch: RecordBatch,
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    fn column(&self, name: &str) -> Result<&dyn Array, DatasetError> {
        let Some(column) = self.batch.column_by_name(name) else {
            return Err(DatasetError::column(self.path, name, "missing"));
        };
        if column.null_count() > 0 {
            let message = format!("{} of {} values are missing", column.null_count(), column.len());
            return Err(DatasetError::column(self.path, name, message));
        }
        Ok(column)
    }

    fn wrong_type(&self, name: &str, expected: &str, found: &DataType) -> DatasetError {
        DatasetError::column(self.path, name, format!("expected {expected}, found {found}"))
    }

    /// Finite numbers.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>, DatasetError> {
        let column = self.column(name)?;
        let values: Vec<f64> = match column.data_type() {
            DataType::Float64 => column.as_primitive::<Float64Type>().values().to_vec(),
            DataType::Float32 => widened(column.as_primitive::<Float32Type>().values()),
            DataType::Int64 => column
                .as_primitive::<Int64Type>()
                .values()
                .iter()
                .map(|v| *v as f64)
                .collect(),
            DataType::Int32 => widened(column.as_primitive::<Int32Type>().values()),
            DataType::UInt16 => widened(column.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => widened(column.as_primitive::<UInt32Type>().values()),
            other => return Err(self.wrong_type(name, "numbers", other)),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(row) => Err(DatasetError::column(
                self.path,
                name,
                format!("expected finite numbers, found {} in row {row}", values[row]),
            )),
            None => Ok(values),
        }
    }

    /// Whole numbers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, DatasetError> {
        let column = self.column(name)?;
        Ok(match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().values().to_vec(),
            DataType::Int32 => widened(column.as_primitive::<Int32Type>().values()),
            DataType::UInt16 => widened(column.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => widened(column.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => {
                let values = column.as_primitive::<UInt64Type>().values().iter();
                let values: Result<Vec<i64>, _> = values.map(|value| i64::try_from(*value)).collect();
                values.map_err(|_| self.wrong_type(name, "whole numbers below 2^63", column.data_type()))?
            }
            other => return Err(self.wrong_type(name, "whole numbers", other)),
        })
    }

    /// Words.
    pub fn strings(&self, name: &str) -> Result<Vec<&str>, DatasetError> {
        let column = self.column(name)?;
        Ok(match column.data_type() {
            DataType::Utf8 => column.as_string::<i32>().iter().flatten().collect(),
            DataType::LargeUtf8 => column.as_string::<i64>().iter().flatten().collect(),
            DataType::Utf8View => column.as_string_view().iter().flatten().collect(),
            other => return Err(self.wrong_type(name, "words", other)),
        })
    }
}

fn widened<A: Copy, B: From<A>>(values: &[A]) -> Vec<B> {
    values.iter().map(|value| B::from(*value)).collect()
}
