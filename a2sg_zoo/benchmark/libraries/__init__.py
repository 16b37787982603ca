"""One network in four libraries, and examples that two of them publish, under the policies of this package."""
