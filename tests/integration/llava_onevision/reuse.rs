//! What is kept for the next question and the next token, and the places of newlines.

use burn::tensor::Tensor;
use kinestream::vlm::llava_onevision::{Generation, KvCache, Model, Newline, Part, Picture, PictureTokens, Rgb, Turn};

use super::support::*;

#[test]
fn a_watched_video_answers_every_question_as_from_scratch() {
    let (model, expected) = (model(), Expected::read());
    let frames: Vec<Rgb> = (0..3)
        .map(|index| expected.picture(&format!("frame.{index}")))
        .collect();
    let settings = Generation {
        max_tokens: 12,
        ..Default::default()
    };
    let mut watched = model
        .watch(frames.iter().map(|frame| model.frame_tokens(frame)).collect())
        .unwrap();
    for question in [QUESTION, "Which way?", "Hm", QUESTION] {
        let reply = model.ask(&mut watched, question, &settings).unwrap();
        let turns = [Turn::question(vec![Picture::Video(0)], question)];
        let tokens = frames.iter().map(|frame| model.frame_tokens(frame)).collect();
        let video = model.network.video_tokens(tokens, model.config.video_newline);
        let pictures = PictureTokens {
            images: vec![],
            videos: vec![video],
        };
        let scratch = model.chat(&turns, &pictures, &settings).unwrap();
        assert_eq!(
            (&reply.text, &reply.tokens),
            (&scratch.text, &scratch.tokens),
            "{question}"
        );
        assert_eq!(reply.tokens, model.answer(&frames, question, &settings).unwrap().tokens);
    }
}

#[test]
fn a_long_answer_outgrows_the_caches_first_room() {
    let (model, expected) = (model(), Expected::read());
    let (parts, pictures) = case(&model, &expected, "text");
    let x = model.network.embed(&parts, &pictures).unwrap();
    let mut cache = KvCache::new();
    let network = &model.network;
    let tokens: Vec<u32> = (0..600_u32).map(|index| index * 7 % 256).collect();
    let mut last = network.advance(x.clone(), &mut cache).unwrap();
    for (index, token) in tokens.iter().enumerate() {
        if index == 300 {
            // A fork in the middle must not disturb what follows.
            network
                .advance(network.language.embed(&[1, 2, 3]), &mut cache.fork())
                .unwrap();
        }
        last = network.advance(network.language.embed(&[*token]), &mut cache).unwrap();
    }
    let whole = Tensor::cat(vec![x, network.language.embed(&tokens)], 0);
    let scratch = network.advance(whole, &mut KvCache::new()).unwrap();
    assert_close("the last logits", &last, &scratch, LOGITS);
}

#[test]
fn newlines_stand_where_the_mode_wants_them() {
    let (model, expected) = (model(), Expected::read());
    let network = &model.network;
    let frames: Vec<Tensor<2>> = expected
        .pixels("video.pixels")
        .iter()
        .map(|x| network.frame_tokens(x))
        .collect();
    let width = model.config.text.hidden_size;
    let tokens = |mode| values(network.video_tokens(frames.clone(), mode));
    let bare = tokens(Newline::None);
    let newline = tokens(Newline::OneToken)[bare.len()..].to_vec();
    // 3 frames of 3 by 3 tokens.
    for (mode, every, count) in [
        (Newline::None, 27, 27),
        (Newline::OneToken, 27, 28),
        (Newline::Frame, 9, 30),
        (Newline::Grid, 3, 36),
    ] {
        let found = tokens(mode);
        assert_eq!(found.len(), count * width, "{mode:?}");
        let mut wanted = Vec::new();
        for part in bare.chunks(every * width) {
            wanted.extend_from_slice(part);
            if mode != Newline::None {
                wanted.extend_from_slice(&newline);
            }
        }
        assert_eq!(found, wanted, "{mode:?}");
    }
}

#[test]
fn a_model_may_move_to_a_worker() {
    fn moves<T: Send + 'static>() {}
    moves::<Model>();
    let model = model();
    let parts = [Part::Text {
        tokens: vec![400],
        spoken: false,
    }];
    let error = model
        .network
        .embed(&parts, &PictureTokens::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("token 400, but the model knows 308"), "{error}");
}
