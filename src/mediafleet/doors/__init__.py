"""The protocols by which the outside reaches a scheduler; each sees it only as `scheduler.facade.Fleet`."""
