"""How does a study get done, whatever happens to the machine?

`study` is what is asked, `ltbv.store` the directory that holds the truth, `plan` what is missing from it, `chunk` how a
part of that is carried out, `executors` who does it; `bootstrap` walks through them.
"""
