//! The camera file: what a user knows of a camera, in TOML. `docs/camera.md` describes it.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{ASSUMED_FIELD_OF_VIEW_DEG, Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use crate::settings::{self, SettingsError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CameraFile {
    width: Spanned<u32>,
    height: Spanned<u32>,
    fx: Option<Spanned<f64>>,
    fy: Option<Spanned<f64>>,
    cx: Option<Spanned<f64>>,
    cy: Option<Spanned<f64>>,
    horizontal_fov_deg: Option<Spanned<f64>>,
    distortion: Option<DistortionTable>,
    mounting: Option<MountingTable>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DistortionModel {
    None,
    BrownConrady,
    Fisheye,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DistortionTable {
    model: DistortionModel,
    k: Option<Spanned<Vec<f64>>>,
    p: Option<Spanned<Vec<f64>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MountingTable {
    height_m: Spanned<f64>,
    pitch_down_deg: Spanned<f64>,
    roll_deg: Option<Spanned<f64>>,
}

/// The file at hand, for errors that name the place.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn error<T>(&self, at: &Spanned<T>, message: String) -> SettingsError {
        settings::error_at(self.text, self.path, at.span().start, message)
    }

    fn number(
        &self,
        key: &str,
        value: &Spanned<f64>,
        expected: &str,
        ok: impl Fn(f64) -> bool,
    ) -> Result<f64, SettingsError> {
        let number = *value.get_ref();
        if number.is_finite() && ok(number) {
            return Ok(number);
        }
        Err(self.error(value, format!("`{key}` must be {expected}, found {number}")))
    }

    fn size(&self, key: &str, value: &Spanned<u32>) -> Result<u32, SettingsError> {
        let pixels = *value.get_ref();
        if (1..=MAX_SIZE).contains(&pixels) {
            return Ok(pixels);
        }
        Err(self.error(value, format!("`{key}` must be 1 to {MAX_SIZE} pixels, found {pixels}")))
    }

    /// As many coefficients as given, the rest zero.
    fn coefficients<const N: usize>(
        &self,
        key: &str,
        values: &Option<Spanned<Vec<f64>>>,
        counts: RangeInclusive<usize>,
    ) -> Result<[f64; N], SettingsError> {
        let mut padded = [0.0; N];
        let Some(values) = values else {
            return Ok(padded);
        };
        let given = values.get_ref();
        if !counts.contains(&given.len()) {
            let (least, most) = (counts.start(), counts.end());
            let expected = if least == most {
                most.to_string()
            } else {
                format!("{least} to {most}")
            };
            let message = format!(
                "`{key}` must hold {expected} coefficients of this model, found {}",
                given.len()
            );
            return Err(self.error(values, message));
        }
        for (to, value) in padded.iter_mut().zip(given) {
            if !value.is_finite() {
                return Err(self.error(values, format!("`{key}` must hold finite coefficients, found {value}")));
            }
            *to = *value;
        }
        Ok(padded)
    }
}

const MAX_SIZE: u32 = 1 << 16;

impl Camera {
    /// Reads a camera file.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        Self::parse(&settings::read(path)?, path)
    }

    /// Parses the text of a camera file; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let file: CameraFile = settings::parse(text, path)?;
        let source = Source { text, path };
        let distortion = match &file.distortion {
            Some(table) => distortion(&source, table)?,
            None => Distortion::None,
        };
        let (intrinsics, intrinsics_source) = intrinsics(&source, &file, distortion)?;
        let mounting = file
            .mounting
            .as_ref()
            .map(|table| mounting(&source, table))
            .transpose()?;
        Ok(Self {
            intrinsics,
            intrinsics_source,
            mounting,
            mounting_source: if mounting.is_some() {
                MountingSource::Measured
            } else {
                MountingSource::Assumed
            },
        })
    }
}

fn distortion(source: &Source<'_>, table: &DistortionTable) -> Result<Distortion, SettingsError> {
    let unused = |key: &str, values: &Option<Spanned<Vec<f64>>>, model: &str| match values {
        Some(values) => Err(source.error(values, format!("`{key}` has no meaning with model \"{model}\""))),
        None => Ok(()),
    };
    Ok(match table.model {
        DistortionModel::None => {
            unused("k", &table.k, "none")?;
            unused("p", &table.p, "none")?;
            Distortion::None
        }
        DistortionModel::BrownConrady => Distortion::BrownConrady {
            k: source.coefficients("k", &table.k, 1..=3)?,
            p: source.coefficients("p", &table.p, 2..=2)?,
        },
        DistortionModel::Fisheye => {
            unused("p", &table.p, "fisheye")?;
            Distortion::Fisheye {
                k: source.coefficients("k", &table.k, 1..=4)?,
            }
        }
    })
}

fn intrinsics(
    source: &Source<'_>,
    file: &CameraFile,
    distortion: Distortion,
) -> Result<(Intrinsics, IntrinsicsSource), SettingsError> {
    let width = source.size("width", &file.width)?;
    let height = source.size("height", &file.height)?;
    let focal = |key: &str, value: &Spanned<f64>| source.number(key, value, "more than 0 pixels", |f| f > 0.0);
    let principal = |key: &str, value: &Option<Spanned<f64>>, size: u32| {
        let size = f64::from(size);
        // A picture cut out of a larger one may have its principal point outside, but not by far.
        let near = |c: f64| c >= -size && c <= 2.0 * size;
        match value {
            Some(value) => source.number(key, value, &format!("{} to {} pixels", -size, 2.0 * size), near),
            None => Ok(0.5 * size),
        }
    };
    if let Some(fx) = &file.fx {
        if let Some(fov) = &file.horizontal_fov_deg {
            let message = "`horizontal_fov_deg` and `fx` say the same thing: give one of them".to_owned();
            return Err(source.error(fov, message));
        }
        let focal_x = focal("fx", fx)?;
        let intrinsics = Intrinsics {
            fx: focal_x,
            fy: file.fy.as_ref().map_or(Ok(focal_x), |fy| focal("fy", fy))?,
            cx: principal("cx", &file.cx, width)?,
            cy: principal("cy", &file.cy, height)?,
            width,
            height,
            distortion,
        };
        return Ok((intrinsics, IntrinsicsSource::Calibrated));
    }
    for (key, value) in [("fy", &file.fy), ("cx", &file.cx), ("cy", &file.cy)] {
        if let Some(value) = value {
            return Err(source.error(value, format!("`{key}` needs `fx` beside it")));
        }
    }
    if let Some(fov) = &file.horizontal_fov_deg {
        let most_deg = if matches!(distortion, Distortion::Fisheye { .. }) {
            360.0
        } else {
            180.0
        };
        let expected = format!("more than 0 and less than {most_deg} degrees");
        let fov_deg = source.number("horizontal_fov_deg", fov, &expected, |deg| deg > 0.0 && deg < most_deg)?;
        let intrinsics = Intrinsics::with_distortion(fov_deg.to_radians(), width, height, distortion)
            .map_err(|error| source.error(fov, format!("`horizontal_fov_deg`: {error}")))?;
        return Ok((intrinsics, IntrinsicsSource::StatedFieldOfView));
    }
    if let Some(k) = file.distortion.as_ref().and_then(|table| table.k.as_ref()) {
        return Err(source.error(k, "distortion needs `fx` or `horizontal_fov_deg` beside it".to_owned()));
    }
    let assumed = Camera::assumed(width, height)
        .map_err(|error| source.error(&file.width, format!("{error} (assuming {ASSUMED_FIELD_OF_VIEW_DEG}°)")))?;
    Ok((assumed.intrinsics, assumed.intrinsics_source))
}

fn mounting(source: &Source<'_>, table: &MountingTable) -> Result<Mounting, SettingsError> {
    let degrees = |key: &str, value: &Spanned<f64>, most: f64| {
        let expected = format!("{} to {most} degrees", -most);
        source.number(key, value, &expected, |deg| deg.abs() <= most)
    };
    let height_m = source.number(
        "height_m",
        &table.height_m,
        "more than 0 and at most 10000 metres",
        |height_m| height_m > 0.0 && height_m <= 10_000.0,
    )?;
    Ok(Mounting {
        height_m,
        pitch_down_rad: degrees("pitch_down_deg", &table.pitch_down_deg, 90.0)?.to_radians(),
        roll_rad: table
            .roll_deg
            .as_ref()
            .map_or(Ok(0.0), |roll| degrees("roll_deg", roll, 180.0))?
            .to_radians(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Camera, String> {
        Camera::parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    const CALIBRATED: &str = "\
width = 1920
height = 1080
fx = 1400
fy = 1402.5
cx = 955.0
cy = 541.0

[distortion]
model = \"brown-conrady\"
k = [-0.3, 0.1]
p = [0.001, -0.0005]

[mounting]
height_m = 5.5
pitch_down_deg = 12.0
roll_deg = -0.5
";

    #[test]
    fn a_full_file_is_read() {
        let camera = parse(CALIBRATED).unwrap();
        assert_eq!(camera.intrinsics_source, IntrinsicsSource::Calibrated);
        assert_eq!((camera.intrinsics.fx, camera.intrinsics.fy), (1400.0, 1402.5));
        let expected = Distortion::BrownConrady {
            k: [-0.3, 0.1, 0.0],
            p: [0.001, -0.0005],
        };
        assert_eq!(camera.intrinsics.distortion, expected);
        let mounting = camera.mounting.unwrap();
        assert_eq!(mounting.height_m, 5.5);
        assert!((mounting.pitch_down_rad - 12f64.to_radians()).abs() < 1e-15);
        assert_eq!(camera.mounting_source, MountingSource::Measured);
    }

    #[test]
    fn a_stated_field_of_view_holds_with_and_without_distortion() {
        let pinhole = parse("width = 1000\nheight = 500\nhorizontal_fov_deg = 90").unwrap();
        assert!((pinhole.intrinsics.fx - 500.0).abs() < 1e-9);
        assert_eq!(pinhole.intrinsics_source, IntrinsicsSource::StatedFieldOfView);
        for distortion in [
            "model = \"brown-conrady\"\nk = [-0.2]",
            "model = \"fisheye\"\nk = [0.05, -0.01]",
        ] {
            let text = format!("width = 1000\nheight = 500\nhorizontal_fov_deg = 100\n[distortion]\n{distortion}");
            let fov_deg = parse(&text).unwrap().intrinsics.horizontal_fov_rad().to_degrees();
            assert!((fov_deg - 100.0).abs() < 1e-6, "{fov_deg}");
        }
        let wide =
            "width = 1000\nheight = 1000\nhorizontal_fov_deg = 200\n[distortion]\nmodel = \"fisheye\"\nk = [0.0]";
        assert!((parse(wide).unwrap().intrinsics.horizontal_fov_rad().to_degrees() - 200.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_given_is_assumed_and_said_so() {
        let camera = parse("width = 640\nheight = 480\n[mounting]\nheight_m = 3\npitch_down_deg = 0").unwrap();
        assert_eq!(camera.intrinsics_source, IntrinsicsSource::AssumedFieldOfView);
        assert_eq!(camera.mounting_source, MountingSource::Measured);
        let camera = parse("width = 640\nheight = 480\nfx = 500").unwrap();
        assert_eq!(
            (camera.mounting, camera.mounting_source),
            (None, MountingSource::Assumed)
        );
        assert_eq!((camera.intrinsics.cx, camera.intrinsics.cy), (320.0, 240.0));
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let changed = |from: &str, to: &str| parse(&CALIBRATED.replace(from, to)).unwrap_err();
        for (from, to, expected) in [
            (
                "width = 1920",
                "width = 0",
                "c.toml:1:9: `width` must be 1 to 65536 pixels, found 0",
            ),
            (
                "height = 1080",
                "height = 1e3",
                "c.toml:2:10: invalid type: floating point",
            ),
            (
                "height = 1080",
                "height = -1",
                "c.toml:2:10: invalid value: integer `-1`",
            ),
            (
                "fx = 1400",
                "fx = -3.5",
                "c.toml:3:6: `fx` must be more than 0 pixels, found -3.5",
            ),
            (
                "fx = 1400",
                "fx = nan",
                "c.toml:3:6: `fx` must be more than 0 pixels, found NaN",
            ),
            ("fx = 1400\n", "", "c.toml:3:6: `fy` needs `fx` beside it"),
            (
                "cy = 541.0",
                "cy = 1e9",
                "c.toml:6:6: `cy` must be -1080 to 2160 pixels",
            ),
            (
                "cy = 541.0",
                "horizontal_fov_deg = 60",
                "c.toml:6:22: `horizontal_fov_deg` and `fx`",
            ),
            ("brown-conrady", "brown-conrad", "did you mean `brown-conrady`?"),
            (
                "k = [-0.3, 0.1]",
                "k = [0.1, 0.1, 0.1, 0.1]",
                "c.toml:10:5: `k` must hold 1 to 3 coefficients of this model, found 4",
            ),
            (
                "k = [-0.3, 0.1]",
                "k = [inf]",
                "c.toml:10:5: `k` must hold finite coefficients, found inf",
            ),
            (
                "p = [0.001, -0.0005]",
                "p = [0.001]",
                "c.toml:11:5: `p` must hold 2 coefficients",
            ),
            (
                "height_m = 5.5",
                "height_m = 0",
                "c.toml:14:12: `height_m` must be more than 0",
            ),
            (
                "height_m = 5.5",
                "heigth_m = 5.5",
                "c.toml:14:1: unknown field `heigth_m`",
            ),
            (
                "pitch_down_deg = 12.0",
                "pitch_down_deg = 91",
                "c.toml:15:18: `pitch_down_deg` must be -90 to 90 degrees, found 91",
            ),
            (
                "roll_deg = -0.5",
                "roll_deg = -200",
                "c.toml:16:12: `roll_deg` must be -180 to 180 degrees",
            ),
            ("pitch_down_deg = 12.0\n", "", "missing field `pitch_down_deg`"),
        ] {
            let found = changed(from, to);
            assert!(
                found.contains(expected),
                "{to}\n  expected {expected}\n  found    {found}"
            );
        }
        for fov in ["0", "180", "-20", "nan", "inf"] {
            let found = parse(&format!("width = 9\nheight = 9\nhorizontal_fov_deg = {fov}")).unwrap_err();
            assert!(
                found.starts_with("c.toml:3:22: `horizontal_fov_deg` must be more than 0 and less than 180"),
                "{found}"
            );
        }
        let beyond =
            "width = 9\nheight = 9\nhorizontal_fov_deg = 170\n[distortion]\nmodel = \"brown-conrady\"\nk = [-0.3]";
        assert!(
            parse(beyond)
                .unwrap_err()
                .contains("c.toml:3:22: `horizontal_fov_deg`: the distortion")
        );
    }
}
