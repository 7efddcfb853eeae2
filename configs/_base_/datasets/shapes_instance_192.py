_base_ = './shapes_instance.py'

# Images of 256 pixels are trained and tested at 192.
resize = dict(type='Resize', scale=(192, 192), keep_ratio=True)
load, annotations, *rest = _base_.train_pipeline
train_pipeline = [load, annotations, resize, *rest]
load, _, *rest = _base_.test_pipeline
test_pipeline = [load, resize, *rest]
# Two processes on two cores have none left for workers.
no_workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(no_workers, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(no_workers, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
