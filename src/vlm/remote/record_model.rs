//! A served model that answers the records of a benchmark.

use std::path::PathBuf;
use std::time::Duration;

use super::chat::{Chat, Endpoint, RemoteError};
use super::pictures::data_url;
use crate::stkit::Record;
use crate::stkit::benchmark::Model;
use crate::vlm::pictures::{PictureFileError, marked_picture};

/// A model behind a server, asked about records one by one.
#[derive(Debug)]
pub struct RemoteModel {
    chat: Chat,
    timeout: Duration,
    root: PathBuf,
}

impl RemoteModel {
    /// Connects when it is asked; waits for `timeout` for one answer. The records' pictures are relative to `root`.
    ///
    /// # Errors
    /// An address that does not begin with `http://` or `https://`.
    pub fn new(endpoint: Endpoint, timeout: Duration, root: PathBuf) -> Result<Self, RemoteError> {
        Ok(Self {
            chat: Chat::new(endpoint)?,
            timeout,
            root,
        })
    }

    /// Asks the record's question, with its frames where it has any.
    ///
    /// # Errors
    /// A picture that cannot be read, or a server that gives no answer.
    pub fn ask(&self, record: &Record) -> Result<String, RemoteError> {
        let frames = record.frames.as_deref().unwrap_or_default();
        let pictures = frames.iter().zip(&record.timestamps).map(|(frame, time_s)| {
            let path = self.root.join(frame);
            let picture = marked_picture(&path, record, *time_s)?;
            data_url(&picture).map_err(|message| RemoteError::Picture(PictureFileError { path, message }))
        });
        let pictures = pictures.collect::<Result<Vec<String>, RemoteError>>()?;
        self.chat.ask(&pictures, record.prompt(), self.timeout)
    }
}

impl Model for RemoteModel {
    /// An answer that did not come is empty, and so scored as wrong; why is logged.
    fn answer(&mut self, record: &Record) -> String {
        self.ask(record).unwrap_or_else(|error| {
            tracing::warn!(id = record.id, "{error}");
            String::new()
        })
    }
}
