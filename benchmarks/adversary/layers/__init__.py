"""Files of one layer, in every form that its operator and its weights can have."""
