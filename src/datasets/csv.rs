//! Plain CSV tables with a header, row by row: no quoted fields, as none of the data sets has any.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::error::DatasetError;

/// A table that is being read.
pub(super) struct Csv {
    path: PathBuf,
    reader: BufReader<File>,
    header: Vec<String>,
    line: String,
    number: usize,
}

/// One row.
pub(super) struct CsvRow<'a> {
    csv: &'a Csv,
    fields: Vec<&'a str>,
}

impl Csv {
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = File::open(path).map_err(|source| DatasetError::read(path, source))?;
        let mut csv = Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            header: Vec::new(),
            line: String::new(),
            number: 0,
        };
        csv.read_line()?;
        csv.header = csv.line.trim().split(',').map(|name| name.trim().to_owned()).collect();
        Ok(csv)
    }

    fn read_line(&mut self) -> Result<bool, DatasetError> {
        self.line.clear();
        self.number += 1;
        let read = self.reader.read_line(&mut self.line);
        Ok(read.map_err(|source| DatasetError::read(&self.path, source))? > 0)
    }

    /// Where the named columns stand.
    pub fn columns(&self, names: &[&str]) -> Result<Vec<usize>, DatasetError> {
        names
            .iter()
            .map(|name| {
                self.header.iter().position(|known| known == name).ok_or_else(|| {
                    let message = format!("missing; the file has {}", self.header.join(", "));
                    DatasetError::column(&self.path, name, message)
                })
            })
            .collect()
    }

    /// The next row; `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<CsvRow<'_>>, DatasetError> {
        while self.read_line()? {
            if self.line.trim().is_empty() {
                continue;
            }
            let count = self.line.split(',').count();
            if count != self.header.len() {
                return Err(DatasetError::Malformed {
                    path: self.path.clone(),
                    line: self.number,
                    message: format!("expected {} fields, found {count}", self.header.len()),
                });
            }
            let csv: &Self = self;
            return Ok(Some(CsvRow {
                csv,
                fields: csv.line.trim().split(',').map(str::trim).collect(),
            }));
        }
        Ok(None)
    }
}

impl CsvRow<'_> {
    pub fn text(&self, column: usize) -> &str {
        self.fields.get(column).copied().unwrap_or_default()
    }

    fn wrong(&self, column: usize, expected: &str) -> DatasetError {
        let name = self.csv.header.get(column).map_or("", String::as_str);
        let message = format!(
            "line {}: expected {expected}, found `{}`",
            self.csv.number,
            self.text(column)
        );
        DatasetError::column(&self.csv.path, name, message)
    }

    pub fn integer(&self, column: usize) -> Result<i64, DatasetError> {
        self.text(column)
            .parse()
            .map_err(|_| self.wrong(column, "a whole number"))
    }

    pub fn float(&self, column: usize) -> Result<f64, DatasetError> {
        let value = self.text(column).parse::<f64>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| self.wrong(column, "a finite number"))
    }
}
