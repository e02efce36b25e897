"""The inference function, behind `POST /predict`.

It answers requests with predictions, and logs one record per sentence.
"""

import os

# numpy would start a thread for each processor, for products of matrices that nothing here makes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
