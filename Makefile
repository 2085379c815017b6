# Development tasks; `make help` lists them. Everything generated goes to build/.
RSCRIPT ?= Rscript
R       ?= R
LIB     := $(CURDIR)/build/lib
# An installation from the working tree that leaves no objects behind in src/.
INSTALL  = $(R) CMD INSTALL --preclean --clean --no-multiarch
# Put a library in front without hiding the ones that are already there.
WITH_LIB = R_LIBS="$(1)$${R_LIBS:+:$$R_LIBS}"
# The working tree, installed in a library in front that goes when the recipe ends.
INSTALLED = lib=$$(mktemp -d) && trap 'rm -rf "$$lib"' EXIT && \
	{ $(INSTALL) --no-docs --library="$$lib" . > "$$lib/log" 2>&1 || { cat "$$lib/log"; exit 1; }; } && \
	export $(call WITH_LIB,$$lib)

# matrices here are small: a threaded BLAS spends its time waiting
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help deps demo check test doc style c-core fuzz stress bench clean

help:
	@echo "make deps    install what DESCRIPTION asks for and is missing"
	@echo "make demo    the radon demo; figures and report in build/demo/"
	@echo "make check   R CMD check --as-cran; results in build/check/"
	@echo "make test    testthat only, on a temporary installation"
	@echo "make doc     NAMESPACE and man/ from roxygen comments"
	@echo "make style   are C and R in the form of .clang-format and .lintr?"
	@echo "make c-core  the C tests, with sanitizers"
	@echo "make fuzz    N random calls of each SEED, judged; make fuzz SEED=\"3 4\" N=1000"
	@echo "make stress  memory over thousands of fits, Ctrl-C in every engine"
	@echo "make bench   the benchmarks"
	@echo "make clean   remove everything generated"

deps:
	@$(RSCRIPT) tools/install-deps.R

demo: deps
	@mkdir -p "$(LIB)" build/demo
	@$(INSTALL) --library="$(LIB)" . > build/install.log 2>&1 || { cat build/install.log; exit 1; }
	@$(call WITH_LIB,$(LIB)) $(RSCRIPT) inst/demo/radon-demo.R build/demo

check: deps
	@$(RSCRIPT) tools/check.R

test:
	@$(INSTALLED) && NOT_CRAN=true $(RSCRIPT) -e \
	  'testthat::test_dir("tests/testthat", package = "meanfield", load_package = "installed")'

doc:
	@$(RSCRIPT) -e 'roxygen2::roxygenise()'

style:
	@$(RSCRIPT) tools/style.R

c-core:
	@$(MAKE) --no-print-directory -C tests/c-core

SEED ?= 1 2
N    ?= 200
fuzz:
	@$(INSTALLED) && $(RSCRIPT) tests/fuzz/run.R n=$(N) $(SEED)

stress:
	@$(INSTALLED) && $(RSCRIPT) tests/fuzz/memory.R && $(RSCRIPT) tests/fuzz/interrupt.R

bench:
	@$(RSCRIPT) inst/benchmarks/run-all.R

clean:
	rm -rf build src/*.o src/*/*.o src/*.so src/*.dll
	@if [ -d tests/c-core ]; then $(MAKE) --no-print-directory -C tests/c-core clean; fi
