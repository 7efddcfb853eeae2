"""A page in the browser that shows what a trained model predicts."""
