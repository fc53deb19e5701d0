"""A case with its segmentation as a page for browsers, drawn by NiiVue: see static/LICENSE.niivue.txt."""
