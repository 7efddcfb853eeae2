"""Metadata of this package in a checkpoint."""

from collections import OrderedDict

from swin_dense.checkpoints.files.metadata import metadata_of, with_record


def test_metadata_below_meta_or_as_an_attribute():
    record = dict(window=[7, 7])
    assert metadata_of(dict(meta=dict(swin_dense=record))) == record
    bare = OrderedDict()
    bare.swin_dense = record
    assert metadata_of(bare) == record and metadata_of(bare) is not record


def test_other_values_are_no_metadata():
    for checkpoint in ({}, dict(meta=3), dict(meta=dict(swin_dense='x'))):
        assert metadata_of(checkpoint) == {}


def test_additions_keep_other_entries():
    meta = dict(epoch=1, swin_dense=dict(a=1, b=2))
    assert with_record(meta, dict(b=3)) == dict(
        epoch=1, swin_dense=dict(a=1, b=3)
    )
    assert meta['swin_dense'] == dict(a=1, b=2)
