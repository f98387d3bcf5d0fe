"""What hypothesis draws for a mail: any text that a clean line or a body may hold."""

from __future__ import annotations

from hypothesis import strategies as st

from runner.mail.sanitise import body_problem, line_problem

_characters = st.characters(exclude_categories=["Cs"])

lines = (
    st.text(_characters, min_size=1, max_size=200)
    .map(lambda text: "".join(letter for letter in text if line_problem(letter) is None).strip())
    .filter(lambda text: text != "" and line_problem(text) is None)
)
bodies = (
    st.text(_characters | st.sampled_from("\n\n .=ąęł"), min_size=1, max_size=400)
    .map(lambda text: "".join(letter for letter in text if body_problem(letter) is None))
    .filter(lambda text: text.strip() != "")
)
