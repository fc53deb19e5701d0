"""Views: model folders of the members, made from the universal model."""
