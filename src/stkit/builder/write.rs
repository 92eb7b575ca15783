//! The output: written beside its place, and moved there when it is complete, so that a build can go on after it was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::BuildSettings;
use crate::stkit::Record;

/// Changes whenever the same settings would make other records.
const FORMAT: u32 = 1;

/// A file of records that is being written.
pub(super) struct Output {
    out: PathBuf,
    part: PathBuf,
    plan: PathBuf,
    file: BufWriter<File>,
    written: usize,
    line: Vec<u8>,
}

fn beside(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    out.with_file_name(name)
}

impl Output {
    /// Opens the file, or goes on with one that the same settings began.
    pub fn open(settings: &BuildSettings, records: usize) -> io::Result<Self> {
        let (part, plan) = (beside(&settings.out, ".part"), beside(&settings.out, ".part.plan"));
        let wanted = serde_json::json!({ "format": FORMAT, "settings": settings, "records": records }).to_string();
        let same = part.is_file() && fs::read_to_string(&plan).is_ok_and(|found| found == wanted);
        let written = if same { keep_whole_lines(&part)? } else { 0 };
        if !same {
            // An old part must be gone before the new plan could vouch for it.
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::write(&plan, wanted)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&part)?;
        Ok(Self {
            out: settings.out.clone(),
            part,
            plan,
            file: BufWriter::with_capacity(1 << 20, file),
            written,
            line: Vec::new(),
        })
    }

    /// How many records are in the file.
    pub fn written(&self) -> usize {
        self.written
    }

    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        self.file.write_all(&self.line)?;
        self.written += 1;
        Ok(())
    }

    /// Moves the complete file to its place.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.part, &self.out)?;
        fs::remove_file(&self.plan)
    }
}

/// Cuts an unfinished last line off and counts the others.
fn keep_whole_lines(path: &Path) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut lines, mut whole) = (0, 0u64);
    let mut length = 0u64;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        for (at, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            lines += 1;
            whole = length + at as u64 + 1;
        }
        let read = chunk.len();
        length += read as u64;
        reader.consume(read);
    }
    OpenOptions::new().write(true).open(path)?.set_len(whole)?;
    Ok(lines)
}
