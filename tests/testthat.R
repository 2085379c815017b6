library(testthat)
library(meanfield)

test_check("meanfield")
