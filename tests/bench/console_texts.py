"""Texts that run, load or draw something where a page takes them for HTML: 8 kinds, 25 places."""

RUN = "window.ran=1"
TRIGGERS = (
    f"<script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f"<svg onload='{RUN}'><rect width='9'/></svg>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"<details open ontoggle='{RUN}'>x</details>",
    f"<a href='javascript:{RUN}'>x</a><body onpageshow='{RUN}'>",
    f"<math><mtext><style><img src=x onerror='{RUN}'></style></mtext></math>",
    f"<input autofocus onfocus='{RUN}'><video><source onerror='{RUN}'></video>",
)
PLACES = (
    *("{}", "a {} b", "'{}", '"{}', "`{}", "'>{}", '">{}', "-->{}", "]]>{}"),
    *("</script>{}", "</style>{}", "</title>{}", "</textarea>{}", "</td></tr></table>{}"),
    *("</pre></code>{}", "</option></select>{}", "<!--{}", "<![CDATA[{}", "\\u003c{}"),
    *("{{{{ 7*7 }}}}{}", "${{7*7}}{}", "&lt;b&gt;{}", "\u2028{}", "\u202e{}", "`</template>{}"),
)
"""What surrounds a trigger, which may end the element or attribute that the text stands in."""
HOSTILE_TEXTS = tuple(place.format(trigger) for trigger in TRIGGERS for place in PLACES)
