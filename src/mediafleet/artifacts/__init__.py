"""Where bytes live and how they move; what they belong to is the store's business."""
