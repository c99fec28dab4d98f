"""Videos go in, subtitles come out. Pure rules on how people read stand in `rules`, `breaks`, `segment` and `timing`."""
