"""SHA-256 of published checkpoints by address.

Only confirmed hashes belong here: from the publisher, or from several
independent downloads. Any other file is trusted at its first download, see
`download`. To add a hash, run `swin-dense inspect` on the file and
compare the result with at least one other source.
"""

_RELEASES = 'https://github.com/SwinTransformer/storage/releases/download/'

SHA256 = {
    f'{_RELEASES}v1.0.0/swin_tiny_patch4_window7_224.pth': '9f71c168d837d1b99dd1dc29e14990a7a9e8bdc5f673d46b04fe36fe15590ad3',  # noqa: E501
}
