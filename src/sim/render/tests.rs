#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::sim::{Scene, World, WorldSettings};

fn world(scene: Scene, seed: u64) -> World {
    World::new(WorldSettings::new(scene, seed)).unwrap()
}

#[test]
fn the_same_snapshot_gives_the_same_picture() {
    for scene in Scene::ALL {
        let pictures = [(); 2].map(|()| {
            let mut world = world(scene, 7);
            let snapshot = world.at(2.5).unwrap();
            Renderer::new(&world).render(&snapshot).clone()
        });
        assert_eq!(pictures[0].rgb, pictures[1].rgb, "{scene}");
        assert_eq!(pictures[0].depth_m, pictures[1].depth_m, "{scene}");
        assert_eq!(pictures[0].instance, pictures[1].instance, "{scene}");
        assert_eq!(pictures[0].sightings, pictures[1].sightings, "{scene}");
    }
}

#[test]
fn what_was_kept_from_earlier_pictures_does_not_show() {
    let mut world = world(Scene::Plaza, 5);
    let mut used = Renderer::new(&world);
    for frame in 0..5 {
        used.render(&world.at(0.2 * f64::from(frame)).unwrap());
    }
    let snapshot = world.at(1.3).unwrap();
    let fresh = Renderer::new(&world).render(&snapshot).clone();
    let again = used.render(&snapshot);
    assert_eq!(fresh.rgb, again.rgb);
    assert_eq!(fresh.depth_m, again.depth_m);
    assert_eq!(fresh.sightings, again.sightings);
}
