# Every run needs it, because it has no default.
image_tag = "1a2b3c4"
