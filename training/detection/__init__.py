"""From photographs with boxes, or masks, to a detector and what it is worth."""
