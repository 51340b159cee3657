"""Hostile requests: the right verbs with anything as their value."""

from typing import get_args

import msgspec
from hypothesis import strategies as st

from exchange.wire.requests import Request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["buy", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["price", "quantity", "side", "symbol", "ticker", "order_id", "limit"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
VERBS = st.sampled_from([kind.__struct_config__.tag for kind in get_args(Request)])
FORMS = st.fixed_dictionaries(
    {"type": VERBS, "value": JSON}, optional={"id": JSON, "wait": JSON}
).map(msgspec.json.encode)
