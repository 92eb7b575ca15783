//! Pictures as the chat API takes them: JPEG in a data URL.

use std::io::Cursor;

use image::RgbImage;

const JPEG_QUALITY: u8 = 85;

/// `data:image/jpeg;base64,…` of a picture.
///
/// # Errors
/// The encoder refuses the picture, such as one without pixels.
pub fn data_url(picture: &RgbImage) -> Result<String, String> {
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
    picture.write_with_encoder(encoder).map_err(|error| error.to_string())?;
    Ok(format!("data:image/jpeg;base64,{}", base64(&jpeg.into_inner())))
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
    #![allow(clippy::unwrap_used)]
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
    fn a_data_url_holds_a_jpeg() {
        let url = data_url(&RgbImage::new(8, 8)).unwrap();
        // The first bytes of any JPEG, FF D8 FF.
        assert!(url.starts_with("data:image/jpeg;base64,/9j/"), "{url}");
        assert!(data_url(&RgbImage::new(0, 0)).is_err());
    }
}
