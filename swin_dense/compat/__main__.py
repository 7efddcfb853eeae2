"""Lists the shims, for `python -m swin_dense.compat`."""

from swin_dense.compat import VARIABLE, describe_shims

if __name__ == '__main__':
    print(describe_shims())
    print(
        f'\n{VARIABLE}=0 applies none of them, {VARIABLE}=NAME,NAME only '
        'these. See docs/notes/compatibility.md.'
    )
