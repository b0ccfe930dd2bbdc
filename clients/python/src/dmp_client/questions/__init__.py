"""Every call as a request and a way to read its answer, for the client that blocks and the one that does not."""

from dmp_client.questions.asked import Moment, Page, Question, moment_text

__all__ = ["Moment", "Page", "Question", "moment_text"]
