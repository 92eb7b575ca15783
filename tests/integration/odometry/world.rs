//! A small textured world, rendered by casting one ray a pixel: a street between houses, with boxes that may move.

use std::sync::Arc;

use kinestream::camera::{Camera, Distortion, Intrinsics, IntrinsicsSource, Mounting, MountingSource};
use kinestream::detection::{BoundingBox, ClassLabel};
use kinestream::frame::{FrameTime, Picture, PixelFormat};
use kinestream::reconstruction::{DepthMap, MovableRegion, Reconstructor, SceneFrame, View};
use nalgebra::{Isometry3, Point2, Point3, Translation3, UnitQuaternion, Vector3};

pub const WIDTH: u32 = 480;
pub const HEIGHT: u32 = 288;
/// Cells of the depth map are so many pixels wide.
const DEPTH_CELL: u32 = 4;

/// An axis-aligned block, moving at a constant velocity.
#[derive(Clone, Debug)]
pub struct Block {
    pub low: Point3<f64>,
    pub high: Point3<f64>,
    pub velocity: Vector3<f64>,
    pub class: Option<&'static str>,
}

impl Block {
    pub fn house(low: [f64; 3], high: [f64; 3]) -> Self {
        Self {
            low: low.into(),
            high: high.into(),
            velocity: Vector3::zeros(),
            class: None,
        }
    }

    /// Something on wheels: the middle of its footprint, its length, width and height.
    pub fn vehicle(class: &'static str, at: [f64; 2], size: [f64; 3], velocity: [f64; 2]) -> Self {
        let half = [0.5 * size[0], 0.5 * size[1]];
        Self {
            low: Point3::new(at[0] - half[0], at[1] - half[1], 0.15),
            high: Point3::new(at[0] + half[0], at[1] + half[1], size[2]),
            velocity: Vector3::new(velocity[0], velocity[1], 0.0),
            class: Some(class),
        }
    }

    fn at(&self, time_s: f64) -> (Point3<f64>, Point3<f64>) {
        let shift = self.velocity * time_s;
        (self.low + shift, self.high + shift)
    }
}

#[derive(Clone, Debug)]
pub struct World {
    pub blocks: Vec<Block>,
    pub seed: u32,
}

impl World {
    /// Houses on both sides of a road along x, with gaps and poles.
    pub fn street(seed: u32) -> Self {
        let mut blocks = Vec::new();
        for index in 0..24 {
            let x = -30.0 + 12.0 * f64::from(index);
            let out = 6.5 + 1.5 * f64::from((index * 7 + seed as i32) % 3);
            let high = 5.0 + f64::from((index * 5) % 4) * 2.0;
            blocks.push(Block::house([x, out, 0.0], [x + 9.0, out + 8.0, high]));
            blocks.push(Block::house(
                [x + 4.0, -out - 9.0, 0.0],
                [x + 13.0, -out - 1.0, high + 1.0],
            ));
            blocks.push(Block::house([x, 5.0, 0.0], [x + 0.25, 5.25, 5.0]));
            blocks.push(Block::house([x + 6.0, -5.3, 0.0], [x + 6.25, -5.05, 4.0]));
        }
        blocks.push(Block::house([300.0, -60.0, 0.0], [310.0, 60.0, 40.0]));
        blocks.push(Block::house([-70.0, -60.0, 0.0], [-60.0, 60.0, 30.0]));
        Self { blocks, seed }
    }

    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Grey picture and depth along the optical axis, metres (not a number in the sky).
    pub fn render(&self, camera: &Camera, world_from_camera: &Isometry3<f64>, time_s: f64) -> (Vec<u8>, Vec<f32>) {
        let intrinsics = &camera.intrinsics;
        let origin = world_from_camera.translation.vector;
        let rotation = world_from_camera.rotation.to_rotation_matrix();
        let ray_of = |x: u32, y: u32| {
            rotation
                * Vector3::new(
                    (f64::from(x) + 0.5 - intrinsics.cx) / intrinsics.fx,
                    (f64::from(y) + 0.5 - intrinsics.cy) / intrinsics.fy,
                    1.0,
                )
        };
        let (width, height) = (intrinsics.width, intrinsics.height);
        // What each pixel shows: distance, and which face of which block.
        let mut shown = vec![(f64::INFINITY, usize::MAX, 0); (width * height) as usize];
        for (index, block) in self.blocks.iter().enumerate() {
            let (low, high) = block.at(time_s);
            let Some((x0, y0, x1, y1)) = extent(&low, &high, camera, world_from_camera) else {
                continue;
            };
            for y in y0..y1 {
                for x in x0..x1 {
                    if let Some((distance, axis)) = enter(&low, &high, &origin, &ray_of(x, y)) {
                        let cell = &mut shown[(y * width + x) as usize];
                        if distance < cell.0 {
                            *cell = (distance, index, axis);
                        }
                    }
                }
            }
        }
        let mut gray = Vec::with_capacity(shown.len());
        let mut depth = Vec::with_capacity(shown.len());
        for y in 0..height {
            for x in 0..width {
                let direction = ray_of(x, y);
                let (mut nearest, index, axis) = shown[(y * width + x) as usize];
                let mut value = 205.0 + 20.0 * direction.z / direction.norm();
                let ground = -origin.z / direction.z;
                if direction.z < -1e-6 && ground < nearest {
                    nearest = ground;
                    let at = origin + direction * nearest;
                    let slant = direction.z.abs() / direction.norm();
                    value = self.texture(at.x, at.y, 0, nearest / intrinsics.fx / slant);
                } else if index < self.blocks.len() {
                    let at = origin + direction * nearest - self.blocks[index].velocity * time_s;
                    let (u, v) = match axis {
                        0 => (at.y, at.z),
                        1 => (at.x, at.z),
                        _ => (at.x, at.y),
                    };
                    let slant = direction[axis].abs() / direction.norm();
                    let footprint = nearest / intrinsics.fx / slant.max(0.05);
                    value = self.texture(u, v, 1 + index as u32 * 3 + axis as u32, footprint);
                }
                gray.push(value.clamp(0.0, 255.0) as u8);
                depth.push(if nearest.is_finite() { nearest as f32 } else { f32::NAN });
            }
        }
        (gray, depth)
    }

    /// Noise of several sizes; those finer than a pixel's footprint are left out.
    fn texture(&self, u: f64, v: f64, surface: u32, footprint: f64) -> f64 {
        let seed = self.seed.wrapping_mul(0x9e37_79b9) ^ surface.wrapping_mul(0x85eb_ca6b);
        let mut value = 110.0 + 50.0 * (hash(seed as i32, 77, 3) - 0.5);
        for (size, strength) in [(3.2, 45.0), (0.9, 60.0), (0.26, 60.0), (0.075, 45.0)] {
            let visible = (1.5 - 2.5 * footprint / size).clamp(0.0, 1.0);
            if visible > 0.0 {
                value += strength * visible * (noise(u / size, v / size, seed) - 0.5);
            }
        }
        value
    }

    /// Boxes around what may move, in the picture.
    pub fn movable(&self, camera: &Camera, world_from_camera: &Isometry3<f64>, time_s: f64) -> Vec<MovableRegion> {
        self.blocks
            .iter()
            .filter_map(|block| {
                let class = ClassLabel::new(block.class?);
                let (low, high) = block.at(time_s);
                let (x0, y0, x1, y1) = extent(&low, &high, camera, world_from_camera)?;
                Some(MovableRegion {
                    bbox: BoundingBox::new(x0 as f32, y0 as f32, x1 as f32, y1 as f32),
                    mask: None,
                    class,
                })
            })
            .collect()
    }
}

/// The pixels that a block may cover: left, top, right, bottom; `None` when it is not in view.
fn extent(
    low: &Point3<f64>,
    high: &Point3<f64>,
    camera: &Camera,
    world_from_camera: &Isometry3<f64>,
) -> Option<(u32, u32, u32, u32)> {
    const NEAR: f64 = 0.05;
    let intrinsics = &camera.intrinsics;
    let corners: Vec<Point3<f64>> = (0..8)
        .map(|corner| {
            let pick = |axis: usize| if corner >> axis & 1 == 0 { low[axis] } else { high[axis] };
            world_from_camera.inverse_transform_point(&Point3::new(pick(0), pick(1), pick(2)))
        })
        .collect();
    let (mut x0, mut y0, mut x1, mut y1) = (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    let mut add = |point: &Point3<f64>| {
        let (u, v) = (
            intrinsics.fx * point.x / point.z + intrinsics.cx,
            intrinsics.fy * point.y / point.z + intrinsics.cy,
        );
        x0 = x0.min(u);
        x1 = x1.max(u);
        y0 = y0.min(v);
        y1 = y1.max(v);
    };
    for (index, corner) in corners.iter().enumerate() {
        if corner.z >= NEAR {
            add(corner);
        }
        // Edges that cross the near plane.
        for axis in 0..3 {
            let other = &corners[index | 1 << axis];
            if (corner.z < NEAR) != (other.z < NEAR) {
                let share = (NEAR - corner.z) / (other.z - corner.z);
                add(&(corner + (other - corner) * share));
            }
        }
    }
    let clip = |value: f64, most: u32| value.clamp(0.0, f64::from(most)) as u32;
    let (left, top) = (clip(x0.floor(), intrinsics.width), clip(y0.floor(), intrinsics.height));
    let (right, bottom) = (clip(x1.ceil(), intrinsics.width), clip(y1.ceil(), intrinsics.height));
    (left < right && top < bottom).then_some((left, top, right, bottom))
}

fn enter(
    low: &Point3<f64>,
    high: &Point3<f64>,
    origin: &Vector3<f64>,
    direction: &Vector3<f64>,
) -> Option<(f64, usize)> {
    let (mut near, mut far, mut face) = (0.0f64, f64::INFINITY, usize::MAX);
    for axis in 0..3 {
        let (a, b) = (
            (low[axis] - origin[axis]) / direction[axis],
            (high[axis] - origin[axis]) / direction[axis],
        );
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        if a > near {
            near = a;
            face = axis;
        }
        far = far.min(b);
    }
    (near < far && face < 3).then_some((near, face))
}

fn hash(x: i32, y: i32, seed: u32) -> f64 {
    let mut value = (x as u32).wrapping_mul(0x27d4_eb2d) ^ (y as u32).wrapping_mul(0x1656_67b1) ^ seed;
    value = (value ^ (value >> 15)).wrapping_mul(0x2c1b_3c6d);
    value = (value ^ (value >> 12)).wrapping_mul(0x297a_2d39);
    f64::from((value ^ (value >> 15)) & 0xffff) / 65535.0
}

fn noise(u: f64, v: f64, seed: u32) -> f64 {
    let (x, y) = (u.floor(), v.floor());
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (a, b) = (smooth(u - x), smooth(v - y));
    let (x, y) = (x as i32, y as i32);
    let above = hash(x, y, seed) * (1.0 - a) + hash(x + 1, y, seed) * a;
    let below = hash(x, y + 1, seed) * (1.0 - a) + hash(x + 1, y + 1, seed) * a;
    above * (1.0 - b) + below * b
}

/// A camera 1.5 m over the road that looks a little down.
pub fn camera() -> Camera {
    let mut camera = Camera {
        intrinsics: Intrinsics::from_horizontal_fov(70f64.to_radians(), WIDTH, HEIGHT).unwrap(),
        intrinsics_source: IntrinsicsSource::Calibrated,
        mounting: Some(Mounting {
            height_m: 1.5,
            pitch_down_rad: 0.05,
            roll_rad: 0.0,
        }),
        mounting_source: MountingSource::Measured,
    };
    camera.intrinsics.distortion = Distortion::None;
    camera
}

/// Where a vehicle is, and so its camera.
pub fn pose(camera: &Camera, x: f64, y: f64, yaw: f64) -> Isometry3<f64> {
    let ego = Isometry3::from_parts(
        Translation3::new(x, y, 0.0),
        UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw),
    );
    ego * camera.world_from_camera()
}

/// One rendered frame and what is wrong with it.
pub struct Shot<'a> {
    pub world: &'a World,
    pub time_s: f64,
    pub truth: Isometry3<f64>,
    /// Factor on the depth network's depth; `None` without a network.
    pub depth_factor: Option<f64>,
    /// Gain and offset of the exposure.
    pub exposure: (f64, f64),
    /// Whether a detector tells what may move.
    pub detected: bool,
}

impl<'a> Shot<'a> {
    pub fn new(world: &'a World, time_s: f64, truth: Isometry3<f64>) -> Self {
        Self {
            world,
            time_s,
            truth,
            depth_factor: Some(1.0),
            exposure: (1.0, 0.0),
            detected: true,
        }
    }

    /// Renders it and hands it to a reconstruction.
    pub fn give(&self, reconstructor: &mut dyn Reconstructor, camera: &Camera) -> View {
        let (mut gray, depth) = self.world.render(camera, &self.truth, self.time_s);
        let (gain, offset) = self.exposure;
        for (index, value) in gray.iter_mut().enumerate() {
            let grain = hash(index as i32, (self.time_s * 1e3) as i32, 5) * 4.0 - 2.0;
            *value = (f64::from(*value) * gain + offset + grain).clamp(0.0, 255.0) as u8;
        }
        let depth = self
            .depth_factor
            .map(|factor| Arc::new(self.depth_map(camera, &depth, factor)));
        let movable = if self.detected {
            self.world.movable(camera, &self.truth, self.time_s)
        } else {
            Vec::new()
        };
        let picture = Picture::packed(PixelFormat::Gray8, WIDTH, HEIGHT, &gray).unwrap();
        reconstructor
            .reconstruct_frame(&SceneFrame {
                time: FrameTime::from_pts_ns((self.time_s * 1e9) as u64),
                width: WIDTH,
                height: HEIGHT,
                picture: Some(picture),
                depth,
                movable: &movable,
            })
            .unwrap()
    }

    /// What a network makes of it: coarse, and 10 % off in patches that stay where they are in the world's picture.
    fn depth_map(&self, camera: &Camera, depth: &[f32], factor: f64) -> DepthMap {
        let (width, height) = (WIDTH / DEPTH_CELL, HEIGHT / DEPTH_CELL);
        let mut depth_m = Vec::with_capacity((width * height) as usize);
        for y in 0..height {
            for x in 0..width {
                let at = (y * DEPTH_CELL + DEPTH_CELL / 2) * WIDTH + x * DEPTH_CELL + DEPTH_CELL / 2;
                let true_m = f64::from(depth[at as usize]);
                let pixel = Point2::new(f64::from(x * DEPTH_CELL) + 2.0, f64::from(y * DEPTH_CELL) + 2.0);
                let ray = camera.intrinsics.unproject(&pixel).unwrap();
                let point = self.truth * Point3::from(ray.into_inner() * (true_m / ray.z));
                let error = 0.2 * (noise(point.x / 4.0, point.y / 4.0 + point.z, 9) - 0.5);
                depth_m.push((true_m * factor * error.exp()) as f32);
            }
        }
        DepthMap {
            width,
            height,
            depth_m,
            relative_sigma: 0.1,
        }
    }
}

/// How far two views' cameras moved, estimated and true: the error of the displacement, metres.
pub fn displacement_error(views: [&View; 2], truths: [&Isometry3<f64>; 2]) -> f64 {
    let estimated = views[0].world_from_camera.inv_mul(&views[1].world_from_camera);
    let truth = truths[0].inv_mul(truths[1]);
    (estimated.translation.vector - truth.translation.vector).norm()
}
