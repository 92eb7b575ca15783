//! Drawing results into pictures.
