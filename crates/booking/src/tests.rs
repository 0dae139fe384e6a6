//! Whole sagas against services that can be made to fail.
