"""Chat templates with tools, in the manner of known families and in our own words.

`make_tiny_llama` takes a template and its special tokens.
"""

HERMES = """{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content + '\n' }}{% endif %}Functions:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
    {%- elif not (tools and loop.first and message.role == 'system') %}
<|im_start|>{{ message.role }}
        {%- if message.content or not message.tool_calls %}
{{ '\n' + message.content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {%- set call = call.function if call.function else call %}
{{ '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' + call.arguments | tojson }}}
</tool_call>
        {%- endfor %}<|im_end|>
    {%- endif %}
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

ARGUMENTS_FIRST = """{% if tools %}[{% for tool in tools %}{{ tool.function.name }}: {{
tool.function.parameters.properties.values() | map(attribute='description') | join }}{% endfor %}]
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}{% if message.tool_calls %}{%
for call in message.tool_calls %}{{
'\n<tool_call>\n{ "arguments": ' }}{{ call.function.arguments | tojson
}}, "name": "{{ call.function.name }}"}
</tool_call> {% endfor %}{% else %}{% if message.role == 'tool' and not message.name %}{{
raise_exception('a name is needed') }}{% endif %}{{ '\n' + message.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LLAMA = """{{ bos_token }}{% if tools is not none %}<|start_header_id|>system<|end_header_id|>

Answer with {"name": function, "parameters": arguments}.
{% for tool in tools %}{{ tool | tojson(indent=4) }}

{% endfor %}<|eot_id|>{% endif %}{% for message in messages %}{% if 'tool_calls' in message %}{%
if message.tool_calls | length != 1 %}{{ raise_exception('one call at once') }}{% endif %}{%
set call = message.tool_calls[0].function %}<|start_header_id|>assistant<|end_header_id|>

{{ '{"name": "' + call.name + '", "parameters": ' }}{{ call.arguments | tojson }}{{ '}'
}}<|eot_id|>{% elif message.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>

{{ message.content | tojson }}<|eot_id|>{% else %}<|start_header_id|>{{ message.role
}}<|end_header_id|>

{{ message.content | trim }}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt
%}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""

MISTRAL = """{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{%
if tools and loop.last %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif
%}[INST] {{ message.content }}[/INST]{% elif message.tool_calls %}[TOOL_CALLS] [{%
for call in message.tool_calls %}{% if call.id is not defined or call.id | length != 9 %}{{
raise_exception('ids have nine characters') }}{% endif %}{{ (call.function | tojson)[:-1]
}}, "id": "{{ call.id }}"}{{ ', ' if not loop.last else ']' }}{% endfor %}{{ eos_token }}{%
elif message.role == 'tool' %}[TOOL_RESULTS] {"content": {{ message.content }}, "call_id": "{{
message.tool_call_id }}"}[/TOOL_RESULTS]{% elif message.role == 'assistant' %}{{
' ' + message.content + eos_token }}{% endif %}{% endfor %}"""
"""Tools stand before the last turn, if that is the user's."""

MISTRAL_NEW = """{{ bos_token }}{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson
}}[/AVAILABLE_TOOLS]{% endif %}{% for message in messages %}{% if message.role == 'user'
%}[INST]{{ message.content }}[/INST]{% elif message.role == 'assistant' %}{{ message.content }}{%
for call in message.tool_calls or [] %}{{ '[TOOL_CALLS]' + call.function.name + '[ARGS]' }}{%
if call.function.arguments is string %}{{ call.function.arguments }}{% else %}{{
call.function.arguments | tojson }}{% endif %}{% endfor %}{{ eos_token }}{%
elif message.role == 'tool' %}[TOOL_RESULTS]{{ message.content }}[/TOOL_RESULTS]{%
endif %}{% endfor %}"""

DEEPSEEK = """{{ bos_token }}{% if tools %}Tools:{% for tool in tools %} {{ tool | tojson }}{%
endfor %}{% endif %}{% for message in messages %}{% if message.role == 'user' %}<｜User｜>{{
message.content }}<｜Assistant｜>{% elif message.role == 'assistant' and message.content is none
%}<｜tool▁calls▁begin｜>{% for call in message.tool_calls %}{{ '\n' if not loop.first else ''
}}<｜tool▁call▁begin｜>{{ call.type }}<｜tool▁sep｜>{{ call.function.name + '\n```json\n' +
call.function.arguments + '\n```' }}<｜tool▁call▁end｜>{% endfor
%}<｜tool▁calls▁end｜><｜end▁of▁sentence｜>{% elif message.role == 'assistant' %}{{
message.content + '<｜end▁of▁sentence｜>' }}{% elif message.role == 'tool'
%}<｜tool▁outputs▁begin｜>{{ message.content }}<｜tool▁outputs▁end｜>{% endif %}{% endfor %}"""
"""Arguments are joined as text, and a turn of calls is known by having no content."""

SPECIAL = {
    HERMES: ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    ARGUMENTS_FIRST: ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"),
    LLAMA: (
        *("<|unknown|>", "<|begin_of_text|>", "<|eot_id|>"),
        *("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"),
    ),
    MISTRAL: ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]"),
    MISTRAL_NEW: ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]"),
    DEEPSEEK: (
        *("<unk>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        *("<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"),
        *("<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"),
    ),
}
"""The special tokens of each: first what is unknown, begins a text and ends a turn."""
FAMILIES = {
    "hermes": HERMES,
    "arguments first": ARGUMENTS_FIRST,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "mistral new": MISTRAL_NEW,
    "deepseek": DEEPSEEK,
}
