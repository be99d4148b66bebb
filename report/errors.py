"""What goes wrong in a report, said in the reader's words."""


class ReportError(ValueError):
    """The notebooks cannot become a report: one line for each thing to mend."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
