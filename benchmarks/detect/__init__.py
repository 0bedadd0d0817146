"""AP50 against bytes: a detector's cascade, and ordinary codecs in front of a detector on pixels."""
