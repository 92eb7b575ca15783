//! Writes a camera file.

use std::fmt::Write;

use super::{Camera, Distortion};

impl Camera {
    /// The text of a camera file that reads as this camera, its intrinsics as calibrated and its mounting as measured.
    pub fn to_toml(&self) -> String {
        let intrinsics = &self.intrinsics;
        let mut text = format!("width = {}\nheight = {}\n", intrinsics.width, intrinsics.height);
        for (key, value) in [
            ("fx", intrinsics.fx),
            ("fy", intrinsics.fy),
            ("cx", intrinsics.cx),
            ("cy", intrinsics.cy),
        ] {
            // Debug writes a decimal point, which TOML's floats need. Writing to a string does not fail.
            let _ = writeln!(text, "{key} = {value:?}");
        }
        let _ = match intrinsics.distortion {
            Distortion::None => Ok(()),
            Distortion::BrownConrady { k, p } => {
                writeln!(text, "\n[distortion]\nmodel = \"brown-conrady\"\nk = {k:?}\np = {p:?}")
            }
            Distortion::Fisheye { k } => writeln!(text, "\n[distortion]\nmodel = \"fisheye\"\nk = {k:?}"),
        };
        if let Some(mounting) = &self.mounting {
            let _ = writeln!(
                text,
                "\n[mounting]\nheight_m = {:?}\npitch_down_deg = {:?}\nroll_deg = {:?}",
                mounting.height_m,
                mounting.pitch_down_rad.to_degrees(),
                mounting.roll_rad.to_degrees()
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use approx::assert_relative_eq;

    use super::*;
    use crate::camera::{Intrinsics, IntrinsicsSource, Mounting, MountingSource};

    #[test]
    fn what_is_written_reads_as_the_same_camera() {
        let distortions = [
            Distortion::None,
            Distortion::BrownConrady {
                k: [-0.3, 0.1, 1e-9],
                p: [0.001, -0.0],
            },
            Distortion::Fisheye {
                k: [0.04, -0.01, 0.006, -0.001],
            },
        ];
        let mounting = Mounting {
            height_m: 5.0,
            pitch_down_rad: 0.3,
            roll_rad: -0.01,
        };
        for (distortion, mounting) in distortions.into_iter().zip([Some(mounting), None, Some(mounting)]) {
            let camera = Camera {
                intrinsics: Intrinsics {
                    fx: 500.0,
                    fy: 500.123_456_789,
                    cx: 320.25,
                    cy: 192.0,
                    width: 640,
                    height: 384,
                    distortion,
                },
                intrinsics_source: IntrinsicsSource::Calibrated,
                mounting,
                mounting_source: MountingSource::Measured,
            };
            let read = Camera::parse(&camera.to_toml(), Path::new("camera.toml")).unwrap();
            assert_eq!(read.intrinsics, camera.intrinsics);
            assert_eq!(read.mounting.is_some(), mounting.is_some());
            if let (Some(read), Some(written)) = (read.mounting, mounting) {
                assert_eq!(read.height_m, written.height_m);
                assert_relative_eq!(read.pitch_down_rad, written.pitch_down_rad, epsilon = 1e-12);
                assert_relative_eq!(read.roll_rad, written.roll_rad, epsilon = 1e-12);
            }
        }
    }
}
