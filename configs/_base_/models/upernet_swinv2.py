_base_ = ['./upernet_swin.py', './swinv2.py']

# Windows of 16, with weights of windows of 8: the position bias is computed
# for any window from what was learned at one.
model = dict(
    backbone=dict(
        _delete_=True,
        **{
            **_base_.swinv2, 'window_size': 16,
            'drop_path_rate': 0.3
        }))
