//! Models behind an OpenAI-compatible server (`/chat/completions`): the frames go as pictures with the boxes drawn in.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use thiserror::Error;

use crate::stkit::benchmark::Model;
use crate::stkit::{COLORS, Record};

/// The longer side of the pictures that are sent, pixels.
const MAX_SIDE: u32 = 768;
/// Width of a drawn box, as a share of the picture's longer side.
const BOX_SHARE: f64 = 0.004;
const JPEG_QUALITY: u8 = 85;

/// Which server, and how it is asked.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Base address, such as `http://localhost:8000/v1`.
    pub url: String,
    /// The model's name on the server.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// The most that one answer may take.
    pub timeout: Duration,
    /// What the records' pictures are relative to.
    pub root: PathBuf,
}

/// Why a server gave no answer.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// No connection, a time-out, or a status other than 200.
    #[error("{url}: {message}")]
    Request {
        /// The address.
        url: String,
        /// What happened.
        message: String,
    },
    /// The reply is not what the protocol says.
    #[error("{url}: expected choices[0].message.content in the reply, found {found}")]
    Reply {
        /// The address.
        url: String,
        /// The start of the reply.
        found: String,
    },
    /// A picture cannot be read or drawn.
    #[error("{}: {message}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// A model behind a server.
pub struct RemoteModel {
    settings: RemoteSettings,
    agent: ureq::Agent,
}

impl RemoteModel {
    /// Connects when it is asked.
    pub fn new(settings: RemoteSettings) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .build();
        Self {
            settings,
            agent: config.into(),
        }
    }

    /// Asks the record's question, with its frames where it has any.
    pub fn ask(&self, record: &Record) -> Result<String, RemoteError> {
        let url = format!("{}/chat/completions", self.settings.url.trim_end_matches('/'));
        let mut content = Vec::new();
        let frames = record.frames.as_deref().unwrap_or_default();
        for (frame, time_s) in frames.iter().zip(&record.timestamps) {
            let jpeg = marked_picture(&self.settings.root.join(frame), record, *time_s)?;
            content.push(json!({ "type": "image_url", "image_url": { "url": format!("data:image/jpeg;base64,{}", base64(&jpeg)) } }));
        }
        content.push(json!({ "type": "text", "text": record.prompt() }));
        let body = json!({
            "model": self.settings.model,
            "temperature": 0,
            "messages": [{ "role": "user", "content": content }],
        });
        let failed = |message: String| RemoteError::Request {
            url: url.clone(),
            message,
        };
        let mut request = self.agent.post(&url);
        if let Some(key) = &self.settings.key {
            request = request.header("Authorization", &format!("Bearer {key}"));
        }
        let mut response = request.send_json(&body).map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let text = response
            .body_mut()
            .read_to_string()
            .map_err(|error| failed(error.to_string()))?;
        let start: String = text.chars().take(300).collect();
        if !status.is_success() {
            return Err(failed(format!("status {status}: {start}")));
        }
        let reply: Value = serde_json::from_str(&text).unwrap_or_default();
        match reply.pointer("/choices/0/message/content").and_then(Value::as_str) {
            Some(answer) => Ok(answer.to_owned()),
            None => Err(RemoteError::Reply { url, found: start }),
        }
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

/// The picture of a frame with the boxes of its time, as a JPEG.
pub fn marked_picture(path: &Path, record: &Record, time_s: f64) -> Result<Vec<u8>, RemoteError> {
    let bad = |message: String| RemoteError::Picture {
        path: path.to_owned(),
        message,
    };
    let picture = image::open(path).map_err(|error| bad(error.to_string()))?.into_rgb8();
    let (width, height) = picture.dimensions();
    let scale = (f64::from(MAX_SIDE) / f64::from(width.max(height).max(1))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let mut picture = if scale < 1.0 {
        image::imageops::thumbnail(&picture, side(width), side(height))
    } else {
        picture
    };
    // Boxes are in pixels of the camera, which the picture may be a resized copy of.
    let (described_width, described_height) = record
        .camera
        .map_or((width, height), |camera| (camera.width, camera.height));
    let (across, down) = (
        f64::from(picture.width()) / f64::from(described_width.max(1)),
        f64::from(picture.height()) / f64::from(described_height.max(1)),
    );
    for object in &record.objects {
        let color = COLORS
            .iter()
            .find(|(name, _)| *name == object.color)
            .map_or([255, 0, 0], |(_, color)| *color);
        for [_, x0, y0, x1, y1] in object.boxes.iter().filter(|[at_s, ..]| (at_s - time_s).abs() < 1e-3) {
            draw_box(
                &mut picture,
                [x0 * across, y0 * down, x1 * across, y1 * down],
                Rgb(color),
            );
        }
    }
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
    picture
        .write_with_encoder(encoder)
        .map_err(|error| bad(error.to_string()))?;
    Ok(jpeg.into_inner())
}

/// A solid rectangle's outline, inside the picture.
fn draw_box(picture: &mut RgbImage, edges: [f64; 4], color: Rgb<u8>) {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let thick = ((width.max(height) as f64 * BOX_SHARE).round() as i64).max(2);
    let [x0, y0, x1, y1] = edges.map(|edge| edge.round() as i64);
    let mut fill = |from: (i64, i64), to: (i64, i64)| {
        for y in from.1.clamp(0, height)..to.1.clamp(0, height) {
            for x in from.0.clamp(0, width)..to.0.clamp(0, width) {
                picture.put_pixel(x as u32, y as u32, color);
            }
        }
    };
    fill((x0, y0), (x1, y0 + thick));
    fill((x0, y1 - thick), (x1, y1));
    fill((x0, y0), (x0 + thick, y1));
    fill((x1 - thick, y0), (x1, y1));
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (position, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            text.push(if position > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[(bits >> shift) as usize & 63])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_box_beyond_the_edge_is_cut() {
        let mut picture = RgbImage::new(20, 10);
        draw_box(&mut picture, [-5.0, 2.0, 30.0, 8.0], Rgb([255, 0, 0]));
        assert_eq!(picture.get_pixel(10, 2), &Rgb([255, 0, 0]));
        assert_eq!(picture.get_pixel(10, 5), &Rgb([0, 0, 0]));
    }
}
