"""The doctor: looks at everything a send depends on, changes nothing but views that lag, and says what to mend."""
