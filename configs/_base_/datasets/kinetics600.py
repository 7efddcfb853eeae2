_base_ = './kinetics400.py'

data_root = 'data/kinetics600/'
train = dict(
    num_classes=600,
    ann_file=data_root + 'kinetics600_train_list_videos.txt',
    data_prefix=dict(video=data_root + 'videos_train'))
val = dict(
    num_classes=600,
    ann_file=data_root + 'kinetics600_val_list_videos.txt',
    data_prefix=dict(video=data_root + 'videos_val'))
train_dataloader = dict(dataset=train)
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)
