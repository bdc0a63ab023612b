"""How do image files become a pool? Listed, looked at, decoded once, and from then on read from a mapped file.

items      what a source lists: file, label, split; labels and classes checked
folders    a directory of class folders        tables   lists, CSV, DataFrames, (paths, labels)
torch_datasets, hugging_face    datasets in memory, whose images `given` writes as files where they are none
rows       what such a source lists: paths stay inside the root
look       every file once: what it holds, and what is amiss with it, before anything is written
decode     the bytes of a file -> pixels of one size, as `Recipe` says
plan       the images in their order, and the key of all that decides their pixels and labels
apart      whole groups of images that become the test set
write      a pool of a plan: one writer, resumed after a kill
pool       a pool as a data set                sources  from what a user names to a pool
"""
